//! Human text, to know which entropy texts should have.

use std::path::Path;

use drdiff_data::Tokenizer;
use drdiff_evaluation::metrics::Counts;
use drdiff_evaluation::texts::openings;

use super::error::Result;
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
