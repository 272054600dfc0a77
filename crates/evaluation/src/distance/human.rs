//! Human text as points, which sets of texts are compared with.

use super::{DistanceError, Distances, compare};
use crate::features::{FeatureError, Features};

/// Human texts in a space of features.
pub struct Human<'a> {
    features: &'a dyn Features,
    points: Vec<Vec<f32>>,
}

impl<'a> Human<'a> {
    /// Makes points of these texts; empty ones are left out.
    ///
    /// # Errors
    /// If a text cannot be read.
    pub fn new<'t>(features: &'a dyn Features, texts: impl IntoIterator<Item = &'t str>) -> Result<Self, FeatureError> {
        let points = embed(features, texts)?;
        Ok(Self { features, points })
    }

    /// Name of the features.
    #[must_use]
    pub fn features(&self) -> &str {
        self.features.name()
    }

    /// How far other texts are from these; empty ones are left out.
    ///
    /// # Errors
    /// As [`compare`], or if a text cannot be read.
    pub fn distances<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> Result<Distances, DistanceError> {
        compare(&embed(self.features, texts)?, &self.points)
    }
}

fn embed<'t>(features: &dyn Features, texts: impl IntoIterator<Item = &'t str>) -> Result<Vec<Vec<f32>>, FeatureError> {
    let texts = texts.into_iter().filter(|text| !text.is_empty());
    texts.map(|text| features.embed(text)).collect()
}
