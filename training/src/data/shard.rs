//! The shard format: the tokens of one tier and split, ready to be read at any place.
//!
//! Little-endian throughout: magic `DRDIFFTK`, version u32, vocabulary u32, tokens u64, documents u64; then the tokens
//! as u16; then `documents + 1` offsets as u64 (first token of each document, and the end).

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

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

/// An open shard. Tokens stay in the file (and in the system's page cache) until they are read.
#[derive(Debug)]
pub struct Shard {
    path: PathBuf,
    file: File,
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
        let file = File::open(path).map_err(DataError::io(path))?;
        let length = file.metadata().map_err(DataError::io(path))?.len();
        if length < HEADER as u64 {
            return Err(corrupt("it is truncated"));
        }
        let mut bytes = [0; HEADER];
        file.read_exact_at(&mut bytes, 0).map_err(DataError::io(path))?;
        let header = Header::from_bytes(&bytes).map_err(|reason| corrupt(&reason))?;
        if header.file_length() != Some(length) {
            return Err(corrupt("it is truncated or damaged"));
        }
        let mut offsets = vec![0u64; header.documents as usize + 1];
        let at = HEADER as u64 + header.tokens * 2;
        file.read_exact_at(bytemuck::cast_slice_mut(&mut offsets), at)
            .map_err(DataError::io(path))?;
        offsets.iter_mut().for_each(|offset| *offset = u64::from_le(*offset));
        if !offsets.is_sorted() || offsets.first() != Some(&0) || offsets.last() != Some(&header.tokens) {
            return Err(corrupt("its document offsets are damaged"));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
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
    /// A range beyond the end, an id outside the vocabulary (a damaged file), or a failing disk.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<u32>, DataError> {
        if range.start > range.end || range.end > self.tokens() {
            return Err(DataError::corrupt(
                &self.path,
                format!("tokens {range:?} of {} were asked for", self.tokens()),
            ));
        }
        let mut raw = vec![0u16; (range.end - range.start) as usize];
        let at = HEADER as u64 + range.start * 2;
        self.file
            .read_exact_at(bytemuck::cast_slice_mut(&mut raw), at)
            .map_err(DataError::io(&self.path))?;
        let ids: Vec<u32> = raw.into_iter().map(|id| u32::from(u16::from_le(id))).collect();
        match ids.iter().find(|&&id| id >= self.header.vocabulary) {
            Some(id) => Err(DataError::corrupt(
                &self.path,
                format!("it holds the id {id}, outside its vocabulary"),
            )),
            None => Ok(ids),
        }
    }
}
