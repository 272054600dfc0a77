//! The shard format: the tokens of one tier and split, ready to be read at any place.
//!
//! Little-endian throughout: magic `DRDIFFTK`, version u32, vocabulary u32, tokens u64, documents u64; then the tokens as
//! u16, or as u32 for a vocabulary of more than 65,536 (version 2); then `documents + 1` offsets as u64 (first token of each
//! document, and the end).

use std::ops::Range;
use std::path::{Path, PathBuf};

use drdiff_kernels::MappedFile;

use super::error::DataError;

/// First bytes of every shard.
pub(super) const MAGIC: [u8; 8] = *b"DRDIFFTK";
/// Tokens of two bytes; a reader of this version would go wrong with wider ones.
const NARROW: u32 = 1;
/// Tokens of four bytes.
const WIDE: u32 = 2;
/// Bytes before the first token.
pub(super) const HEADER: usize = 32;

/// The fixed part of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Ids are below this.
    pub(super) vocabulary: u32,
    /// Number of tokens.
    pub(super) tokens: u64,
    /// Number of documents.
    pub(super) documents: u64,
}

impl Header {
    /// Bytes of a token.
    pub(super) fn width(self) -> usize {
        match self.version() {
            WIDE => size_of::<u32>(),
            _ => size_of::<u16>(),
        }
    }

    fn version(self) -> u32 {
        if self.vocabulary > u32::from(u16::MAX) + 1 {
            WIDE
        } else {
            NARROW
        }
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.version().to_le_bytes());
        bytes[12..16].copy_from_slice(&self.vocabulary.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.tokens.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.documents.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; HEADER]) -> Result<Self, String> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if bytes[0..8] != MAGIC {
            return Err("it is not a token shard".into());
        }
        let header = Self {
            vocabulary: word(12),
            tokens: long(16),
            documents: long(24),
        };
        match word(8) {
            version if version == header.version() => Ok(header),
            NARROW | WIDE => Err("its tokens have the wrong width for its vocabulary".into()),
            version => Err(format!(
                "its version is {version}, this program reads {NARROW} and {WIDE}"
            )),
        }
    }

    /// Length of the whole file; `None` for counts that no file can have.
    fn file_length(self) -> Option<u64> {
        let tokens = self.tokens.checked_mul(self.width() as u64)?;
        let offsets = self.documents.checked_add(1)?.checked_mul(8)?;
        (HEADER as u64).checked_add(tokens)?.checked_add(offsets)
    }
}

/// An open shard, mapped into memory: tokens stay in the system's page cache, shared by all runs that read them.
#[derive(Debug)]
pub struct Shard {
    path: PathBuf,
    bytes: MappedFile,
    header: Header,
    offsets: Vec<u64>,
}

impl Shard {
    /// Opens a shard and checks its header, length and offsets.
    ///
    /// # Errors
    /// A missing file, another format or version, a truncated or damaged file.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let corrupt = |reason: &str| DataError::corrupt(path, reason);
        let bytes = MappedFile::open(path).map_err(DataError::io(path))?;
        let header = bytes.first_chunk().ok_or_else(|| corrupt("it is truncated"))?;
        let header = Header::from_bytes(header).map_err(|reason| corrupt(&reason))?;
        if header.file_length() != Some(bytes.len() as u64) {
            return Err(corrupt("it is truncated or damaged"));
        }
        let (offsets, _) = bytes[HEADER + header.tokens as usize * header.width()..].as_chunks();
        let offsets: Vec<u64> = offsets.iter().map(|offset| u64::from_le_bytes(*offset)).collect();
        if !offsets.is_sorted() || offsets.first() != Some(&0) || offsets.last() != Some(&header.tokens) {
            return Err(corrupt("its document offsets are damaged"));
        }
        Ok(Self {
            path: path.to_owned(),
            bytes,
            header,
            offsets,
        })
    }

    /// Number of tokens, end-of-text tokens included.
    pub fn tokens(&self) -> u64 {
        self.header.tokens
    }

    /// Number of documents.
    pub fn documents(&self) -> u64 {
        self.header.documents
    }

    /// Number of ids of the tokenizer that wrote the shard.
    pub fn vocabulary(&self) -> u32 {
        self.header.vocabulary
    }

    /// Tokens of the document `index` (from 0), end-of-text included.
    ///
    /// # Panics
    /// If `index >= documents()`.
    pub fn document(&self, index: u64) -> Range<u64> {
        self.offsets[index as usize]..self.offsets[index as usize + 1]
    }

    /// Reads the tokens of `range`.
    ///
    /// # Errors
    /// A range beyond the end, or an id outside the vocabulary (a damaged file).
    pub fn read(&self, range: Range<u64>) -> Result<Vec<u32>, DataError> {
        if range.start > range.end || range.end > self.tokens() {
            return Err(DataError::corrupt(
                &self.path,
                format!("tokens {range:?} of {} were asked for", self.tokens()),
            ));
        }
        let width = self.header.width();
        let [start, end] = [range.start, range.end].map(|at| HEADER + at as usize * width);
        let raw = &self.bytes[start..end];
        let ids: Vec<u32> = match width {
            2 => raw
                .as_chunks()
                .0
                .iter()
                .map(|id| u16::from_le_bytes(*id).into())
                .collect(),
            _ => raw.as_chunks().0.iter().map(|id| u32::from_le_bytes(*id)).collect(),
        };
        match ids.iter().find(|&&id| id >= self.header.vocabulary) {
            Some(id) => Err(DataError::corrupt(
                &self.path,
                format!("it holds the id {id}, outside its vocabulary"),
            )),
            None => Ok(ids),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::writer::ShardWriter;
    use super::*;

    #[test]
    fn tokens_are_as_wide_as_the_vocabulary_needs() {
        let folder = tempfile::tempdir().unwrap();
        for (vocabulary, width) in [(300, 2), (65_536, 2), (65_537, 4), (151_936, 4)] {
            let path = folder.path().join(format!("{vocabulary}.tokens"));
            let last = vocabulary as u32 - 1;
            let mut writer = ShardWriter::create(&path, vocabulary).unwrap();
            writer.push(&[1, 256, last], 5).unwrap();
            writer.push(&[last], 1).unwrap();
            let entry = writer.finish().unwrap();
            assert_eq!((entry.tokens, entry.documents, entry.bytes), (4, 2, 6));
            let shard = Shard::open(&path).unwrap();
            assert_eq!(shard.read(0..4).unwrap(), [1, 256, last, last]);
            assert_eq!((shard.document(0), shard.document(1)), (0..3, 3..4));
            let length = std::fs::metadata(&path).unwrap().len();
            assert_eq!(length, (HEADER + 4 * width + 3 * 8) as u64);
            // A version that does not fit the vocabulary.
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[8] = 3 - bytes[8];
            std::fs::write(&path, bytes).unwrap();
            let error = Shard::open(&path).unwrap_err().to_string();
            assert!(error.contains("wrong width"), "{error}");
        }
    }
}
