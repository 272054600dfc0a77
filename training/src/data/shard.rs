//! The shard format: the tokens of one tier and split, ready to be read at any place.
//!
//! Little-endian throughout: magic `DRDIFFTK`, version u32, vocabulary u32, tokens u64, documents u64; then the tokens
//! as u16; then `documents + 1` offsets as u64 (first token of each document, and the end).

use std::ops::Range;
use std::path::{Path, PathBuf};

use drdiff_kernels::MappedFile;

use super::error::DataError;

/// First bytes of every shard.
pub(super) const MAGIC: [u8; 8] = *b"DRDIFFTK";
/// Changes when a reader of the old format would go wrong.
pub(super) const VERSION: u32 = 1;
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
    pub(super) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
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
        if word(8) != VERSION {
            return Err(format!("its version is {}, this program reads {VERSION}", word(8)));
        }
        Ok(Self {
            vocabulary: word(12),
            tokens: long(16),
            documents: long(24),
        })
    }

    /// Length of the whole file; `None` for counts that no file can have.
    fn file_length(self) -> Option<u64> {
        let tokens = self.tokens.checked_mul(2)?;
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
        let (offsets, _) = bytes[HEADER + header.tokens as usize * 2..].as_chunks();
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
        let (start, end) = (HEADER + range.start as usize * 2, HEADER + range.end as usize * 2);
        let (raw, _) = self.bytes[start..end].as_chunks();
        let ids: Vec<u32> = raw.iter().map(|id| u32::from(u16::from_le_bytes(*id))).collect();
        match ids.iter().find(|&&id| id >= self.header.vocabulary) {
            Some(id) => Err(DataError::corrupt(
                &self.path,
                format!("it holds the id {id}, outside its vocabulary"),
            )),
            None => Ok(ids),
        }
    }
}
