//! Human text of one length, for comparison.

use std::path::Path;

use drdiff_data::{Tokenizer, documents};

use crate::{Error, Result};

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
        return Err(Error::Config(format!(
            "{} has no document of {tokens} tokens or more to compare with; name another reference",
            path.display()
        )));
    }
    Ok(texts)
}
