//! What can go wrong with distances.

use crate::features::FeatureError;

/// Errors of distances: one sentence each, with what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DistanceError {
    /// Too few texts for a distance to mean anything.
    #[error("{generated} generated and {human} human texts are too few for distances; give at least {} and {}", super::LEAST, 2 * super::LEAST)]
    TooFew {
        /// Generated texts.
        generated: usize,
        /// Human texts.
        human: usize,
    },
    /// Features of unlike lengths, or with a number that is none.
    #[error(
        "the features of {set} text {index} have another length or are not finite; make all of them with the same model"
    )]
    Feature {
        /// `generated` or `human`.
        set: &'static str,
        /// Which one, from 0.
        index: usize,
    },
    /// A text without features; the sentence of the model.
    #[error("{0}")]
    Text(String),
}

impl From<FeatureError> for DistanceError {
    fn from(error: FeatureError) -> Self {
        Self::Text(error.to_string())
    }
}
