//! Human text, to know which entropy texts should have.

use std::path::Path;

use drdiff_data::Tokenizer;
use drdiff_data::documents;

use super::error::{Result, SweepError};
use crate::metrics::Counts;
use crate::report::Reference;

/// Documents that are read at most: enough to know a mean to a hundredth of a nat.
pub(super) const DOCUMENTS: usize = 500;

/// Entropy of the documents of a `.txt` or `.jsonl` file, packed or not, each cut to its first `tokens` tokens (see
/// [`openings`]).
///
/// # Errors
/// If the file cannot be read, or no document is long enough.
pub fn reference(path: &Path, tokenizer: &Tokenizer, tokens: usize) -> Result<Reference> {
    let texts = openings(path, tokenizer, tokens, DOCUMENTS)?;
    let counts = Counts::of(texts.iter().map(Vec::as_slice)).unwrap_or_default();
    let name = path.file_name();
    Ok(Reference {
        name: name.map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        entropy: counts.entropy,
    })
}

/// The first `tokens` tokens of each document of a file, of at most `limit` documents; shorter ones are left out, for
/// entropy grows with length.
///
/// # Errors
/// If the file cannot be read, or no document is long enough.
pub fn openings(path: &Path, tokenizer: &Tokenizer, tokens: usize, limit: usize) -> Result<Vec<Vec<u32>>> {
    let mut texts: Vec<Vec<u32>> = Vec::new();
    for document in documents(path)? {
        let mut ids = tokenizer.encode(&document?.text)?;
        if ids.len() >= tokens {
            ids.truncate(tokens);
            texts.push(ids);
        }
        if texts.len() == limit {
            break;
        }
    }
    if texts.is_empty() {
        return Err(SweepError::Config(format!(
            "{} has no document of {tokens} tokens or more to compare with; name another reference",
            path.display()
        )));
    }
    Ok(texts)
}
