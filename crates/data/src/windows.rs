//! Windows of text that was not prepared: for measuring on any file.

use std::path::Path;

use crate::Tokenizer;

use super::corpus::{Window, spread};
use super::error::DataError;
use super::source::documents;

/// At most `limit` windows of `window` tokens out of text files: documents are laid end to end, an end-of-text behind each,
/// and cut (the last, partial window is dropped); those taken are spaced evenly over the text. Shards of the same files
/// give the same windows if no title is shown.
///
/// # Errors
/// If a file cannot be read, or all of them together are shorter than one window.
pub fn text_windows(
    files: &[impl AsRef<Path>],
    tokenizer: &Tokenizer,
    window: usize,
    limit: usize,
) -> Result<Vec<Window>, DataError> {
    let mut ids = Vec::new();
    for file in files {
        for document in documents(file.as_ref())? {
            ids.extend(tokenizer.encode(&document?.text)?);
            ids.push(tokenizer.end_of_text());
        }
    }
    let whole = ids.len() / window.max(1);
    if whole == 0 {
        return Err(DataError::Short {
            split: "given",
            tier: "all".to_owned(),
            tokens: ids.len() as u64,
            window,
        });
    }
    let windows = spread(whole, limit).map(|place| {
        let ids = ids[place * window..(place + 1) * window].to_vec();
        let bytes = ids.iter().map(|id| tokenizer.bytes_of(*id).len() as u64).sum();
        Window { ids, bytes }
    });
    Ok(windows.collect())
}
