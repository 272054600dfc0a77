//! Which documents are kept for validation where nobody said which.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::error::DataError;
use super::sample::share_of;
use super::source::{Document, Source};

/// Share of the documents that is kept by default.
pub const VALID_SHARE: f64 = 0.01;
/// A corpus with fewer documents, or with less text, is small: there a share could be nothing, or too little to measure on.
const MANY: usize = 1000;
const LARGE: usize = 100 * ENOUGH;
/// Bytes of text that are enough to measure on: some windows of a thousand tokens.
const ENOUGH: usize = 16 << 10;

/// The documents of the training files that are kept for validation.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kept {
    /// Each with this probability, by its id alone.
    Share(f64),
    /// Those with these ids.
    Documents(HashSet<String>),
}

impl Kept {
    /// Whether this document is one of them.
    pub(super) fn holds(&self, seed: u64, document: &Document) -> bool {
        match self {
            Self::Share(share) => draw(seed, &document.id) < *share,
            Self::Documents(ids) => ids.contains(&document.id),
        }
    }

    /// [`VALID_SHARE`] of a large corpus. Of a small one as many whole documents as make this share of its text, or
    /// [`ENOUGH`] if that is at most a tenth of it; never more than a fifth, so that a corpus of a few documents keeps nothing.
    /// The draws that decide are those of a share, so the order of the files does not matter.
    ///
    /// Reads a small corpus once, and of a large one as much as shows that it is large; `proceed` hears how many documents were read, and stops it.
    ///
    /// # Errors
    /// As reading the files.
    pub(super) fn by_default(
        files: &[PathBuf],
        seed: u64,
        proceed: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Self, DataError> {
        let mut documents: Vec<(f64, String, usize)> = Vec::new();
        let mut all = 0;
        for path in files {
            let mut source = Source::open(path)?;
            while let Some(document) = source.next_document()? {
                if proceed(documents.len() as u64).is_break() {
                    return Err(DataError::Interrupted);
                }
                if document.text.is_empty() || document.cut {
                    continue;
                }
                all += document.text.len();
                documents.push((draw(seed, &document.id), document.id, document.text.len()));
                if documents.len() >= MANY && all >= LARGE {
                    return Ok(Self::Share(VALID_SHARE));
                }
            }
        }
        Ok(Self::Documents(of_small(documents, all)))
    }
}

/// The documents that are kept of these, which hold `all` bytes.
fn of_small(mut documents: Vec<(f64, String, usize)>, all: usize) -> HashSet<String> {
    documents.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    let wanted = ((all as f64 * VALID_SHARE) as usize).max(ENOUGH.min(all / 10)).max(1);
    let mut kept = HashSet::new();
    let mut bytes = 0;
    for (_, id, len) in documents {
        if bytes >= wanted {
            break;
        }
        if 5 * (bytes + len) <= all {
            bytes += len;
            kept.insert(id);
        }
    }
    kept
}

fn draw(seed: u64, id: &str) -> f64 {
    share_of(seed, "split", id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(lengths: &[usize]) -> Vec<usize> {
        let documents = lengths.iter().enumerate().map(|(n, len)| {
            let id = n.to_string();
            (draw(0, &id), id, *len)
        });
        let ids = of_small(documents.collect(), lengths.iter().sum());
        ids.iter().map(|id| lengths[id.parse::<usize>().unwrap()]).collect()
    }

    #[test]
    fn a_small_corpus_keeps_enough_to_measure_on_and_never_most_of_itself() {
        assert_eq!(kept(&[]), Vec::<usize>::new());
        assert_eq!(kept(&[5000]), Vec::<usize>::new(), "one document is learned from");
        assert_eq!(kept(&[5000; 4]), Vec::<usize>::new());
        assert_eq!(kept(&[5000; 5]), [5000]);
        assert_eq!(kept(&[900; 20]).len(), 2, "a tenth");
        assert_eq!(kept(&[1024; 200]).len(), 16, "enough");
        assert_eq!(kept(&[100_000; 50]), [100_000]);
        // A note beside books is too little by itself, and a book that is most of the text is not taken.
        let mixed: usize = kept(&[20, 20_000, 20_000, 20_000, 900_000]).iter().sum();
        assert!((ENOUGH..60_000).contains(&mixed), "{mixed}");
    }
}
