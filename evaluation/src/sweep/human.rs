//! How far the texts of a cell are from human text, as points of a space of features.

use std::path::Path;

use drdiff_model::Tokenizer;

use super::error::{Result, SweepError};
use super::reference::DOCUMENTS;
use super::text::TextRecord;
use crate::distance::{Distances, LEAST, compare};
use crate::features::Features;
use crate::texts::documents_of;

/// Human text as points.
pub struct Human<'a> {
    features: &'a dyn Features,
    points: Vec<Vec<f32>>,
}

impl<'a> Human<'a> {
    /// The first `tokens` tokens of each document of a file, as points.
    ///
    /// # Errors
    /// If the file cannot be read, or has fewer documents of that length than a comparison needs.
    pub fn read(path: &Path, tokenizer: &Tokenizer, tokens: usize, features: &'a dyn Features) -> Result<Self> {
        let texts = documents_of(path, tokenizer, tokens, DOCUMENTS)?.texts;
        if texts.len() < 2 * LEAST {
            return Err(SweepError::Config(format!(
                "{} has {} documents of {tokens} tokens or more, and distances need {}; name another reference",
                path.display(),
                texts.len(),
                2 * LEAST
            )));
        }
        let points = texts.iter().map(|text| embed(features, &text.text));
        Ok(Self {
            features,
            points: points.collect::<Result<_>>()?,
        })
    }

    /// Name of the features.
    #[must_use]
    pub fn features(&self) -> &str {
        self.features.name()
    }

    /// The distances of a cell's texts; `None` if there are too few of them.
    ///
    /// # Errors
    /// If a text cannot be read.
    pub fn distances(&self, texts: &[&TextRecord]) -> Result<Option<Distances>> {
        let texts: Vec<&str> = texts
            .iter()
            .map(|text| text.text.as_str())
            .filter(|text| !text.is_empty())
            .collect();
        if texts.len() < LEAST {
            return Ok(None);
        }
        let points: Vec<Vec<f32>> = texts
            .iter()
            .map(|text| embed(self.features, text))
            .collect::<Result<_>>()?;
        compare(&points, &self.points)
            .map(Some)
            .map_err(|error| SweepError::Judge(error.to_string()))
    }
}

fn embed(features: &dyn Features, text: &str) -> Result<Vec<f32>> {
    let row = features.embed(text);
    row.map_err(|error| SweepError::Judge(error.to_string()))
}
