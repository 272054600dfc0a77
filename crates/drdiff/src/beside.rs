//! Files that stand beside weights.

use std::path::Path;

use drdiff_files::Output;

use crate::{Error, Result};

/// Where a file of a tokenizer is to be written; nowhere if it is there already. Another one is never replaced: it belongs to
/// other weights.
///
/// # Errors
/// If another one is there, or the place cannot be written.
pub fn place_of_tokenizer(path: &Path, content: &[u8]) -> Result<Option<Output>> {
    match std::fs::read(path) {
        Ok(old) if old == content => Ok(None),
        Ok(_) => Err(Error::Input(format!(
            "{} is the tokenizer of another model; choose another folder, or remove it first",
            path.display()
        ))),
        Err(_) => Ok(Some(Output::claim::<&Path>(path, &[])?.new_only()?)),
    }
}
