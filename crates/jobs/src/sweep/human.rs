//! How far the texts of a cell are from human text.

use std::path::Path;

use drdiff_data::Tokenizer;
use drdiff_evaluation::Error as EvaluationError;
use drdiff_evaluation::distance::{Distances, Human, LEAST};
use drdiff_evaluation::texts::{TextSet, documents_of};

use super::error::{Result, SweepError};
use super::reference::DOCUMENTS;
use super::text::TextRecord;

/// The first `tokens` tokens of each document of a file, to measure distances to.
///
/// # Errors
/// If the file cannot be read, or has fewer documents of that length than a comparison needs.
pub fn human_texts(path: &Path, tokenizer: &Tokenizer, tokens: usize) -> Result<TextSet> {
    let set = documents_of(path, tokenizer, tokens, DOCUMENTS)?;
    if set.texts.len() < 2 * LEAST {
        return Err(SweepError::Config(format!(
            "{} has {} documents of {tokens} tokens or more, and distances need {}; name another reference",
            path.display(),
            set.texts.len(),
            2 * LEAST
        )));
    }
    Ok(set)
}

/// The distances of a cell's texts; `None` if there are too few of them.
///
/// # Errors
/// If a text cannot be read.
pub fn distances(human: &Human<'_>, texts: &[&TextRecord]) -> Result<Option<Distances>> {
    let texts = || texts.iter().map(|text| text.text.as_str());
    if texts().filter(|text| !text.is_empty()).count() < LEAST {
        return Ok(None);
    }
    let found = human.distances(texts());
    found
        .map(Some)
        .map_err(|error| EvaluationError::Judge(error.to_string()).into())
}
