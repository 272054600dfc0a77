//! Texts as points: one row of numbers for each, near each other when the texts are about like things.

mod error;
mod minilm;

pub use error::FeatureError;
pub use minilm::{MiniLm, READ};

/// What makes a row of numbers out of a text. The same text gives the same row.
pub trait Features {
    /// Its name.
    fn name(&self) -> &str;

    /// Hash of its weights: rows can be compared as long as they are the same.
    fn hash(&self) -> &str;

    /// The row of a text, always of the same length.
    ///
    /// # Errors
    /// If it cannot read the text; one sentence.
    fn embed(&self, text: &str) -> Result<Vec<f32>, FeatureError>;
}
