//! Human text, to know which entropy texts should have.

use std::path::Path;

use drdiff_model::Tokenizer;
use drdiff_training::data::documents;

use super::error::{Result, SweepError};
use crate::metrics::Counts;
use crate::report::Reference;

/// Documents that are read at most: enough to know a mean to a hundredth of a nat.
const DOCUMENTS: usize = 500;

/// Entropy of the documents of a `.txt`, `.jsonl` or `.jsonl.zst` file, each cut to its first `tokens` tokens; shorter
/// ones are left out, for entropy grows with length.
///
/// # Errors
/// If the file cannot be read, or no document is long enough.
pub fn reference(path: &Path, tokenizer: &Tokenizer, tokens: usize) -> Result<Reference> {
    let mut texts: Vec<Vec<u32>> = Vec::new();
    for document in documents(path)? {
        let mut ids = tokenizer.encode(&document?.text)?;
        if ids.len() >= tokens {
            ids.truncate(tokens);
            texts.push(ids);
        }
        if texts.len() == DOCUMENTS {
            break;
        }
    }
    let name = path
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    match Counts::of(texts.iter().map(Vec::as_slice)) {
        Some(counts) => Ok(Reference {
            name,
            entropy: counts.entropy,
        }),
        None => Err(SweepError::Config(format!(
            "{} has no document of {tokens} tokens or more to compare with; name another reference",
            path.display()
        ))),
    }
}
