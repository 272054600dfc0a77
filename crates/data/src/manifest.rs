//! `manifest.json`: what a corpus folder holds and how it was made.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::prepare::PrepareOptions;
use crate::Words;

/// File name of the manifest in a corpus folder.
pub(super) const MANIFEST: &str = "manifest.json";
/// File name of the tokenizer in a corpus folder.
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// Changes when a reader of the old format would go wrong.
const VERSION: u32 = 1;

/// The two uses of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Text to learn from.
    Train,
    /// Text to measure on, never learned from.
    Valid,
}

impl Split {
    /// As it is written in file names and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
        }
    }
}

/// A prepared corpus.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format of the folder.
    pub version: u32,
    /// Program and version that wrote it.
    pub program: String,
    /// The tokenizer.
    pub tokenizer: TokenizerEntry,
    /// The options it was made with.
    pub options: PrepareOptions,
    /// The input files.
    pub sources: Vec<SourceEntry>,
    /// Documents without text, left out.
    pub empty_documents: u64,
    /// Documents that repeat themselves, left out by [`PrepareOptions::repeats`].
    #[serde(default, skip_serializing_if = "is_none")]
    pub repeating_documents: u64,
    /// Conversations whose last answer was cut off by the limit of its length, left out.
    #[serde(default, skip_serializing_if = "is_none")]
    pub cut_conversations: u64,
    /// Shards of the training text by tier.
    pub train: BTreeMap<String, ShardEntry>,
    /// Shards of the validation text by tier.
    pub valid: BTreeMap<String, ShardEntry>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this form")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// Documents that are not in the shards, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) empty: u64,
    pub(super) repeating: u64,
    pub(super) cut: u64,
}

/// The tokenizer of a corpus.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerEntry {
    /// File in the corpus folder.
    pub file: String,
    /// blake3 of that file, in hex.
    pub blake3: String,
    /// Number of ids.
    pub vocab_size: usize,
    /// Special tokens and their ids.
    pub special_tokens: BTreeMap<String, u32>,
    /// The id after each document.
    pub end_of_text: u32,
}

/// One input file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceEntry {
    /// File name without its folder, so that a manifest says nothing about a machine.
    pub file: String,
    /// Which split it was given for; the valid share may still move documents of a training file.
    pub split: Split,
    /// blake3 of the stored bytes, in hex.
    pub blake3: String,
    /// Stored (compressed) bytes.
    pub stored_bytes: u64,
    /// Documents read from it.
    pub documents: u64,
}

/// One shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardEntry {
    /// File in the corpus folder.
    pub file: String,
    /// blake3 of that file, in hex.
    pub blake3: String,
    /// Documents.
    pub documents: u64,
    /// Tokens, end-of-text included.
    pub tokens: u64,
    /// Bytes of text that the tokens stand for (titles included, end-of-text counts nothing).
    pub bytes: u64,
}

impl Manifest {
    /// A manifest of the current format.
    pub(super) fn new(
        tokenizer: TokenizerEntry,
        options: PrepareOptions,
        sources: Vec<SourceEntry>,
        left_out: LeftOut,
        shards: [BTreeMap<String, ShardEntry>; 2],
    ) -> Self {
        let [train, valid] = shards;
        let program = concat!("drdiff ", env!("CARGO_PKG_VERSION")).to_owned();
        Self {
            version: VERSION,
            program,
            tokenizer,
            options,
            sources,
            empty_documents: left_out.empty,
            repeating_documents: left_out.repeating,
            cut_conversations: left_out.cut,
            train,
            valid,
        }
    }

    /// Reads the manifest of the corpus folder `dir`.
    ///
    /// # Errors
    /// A missing or damaged manifest, or one of another version.
    pub fn read(dir: &Path) -> Result<Self, DataError> {
        #[derive(Deserialize)]
        struct Format {
            version: u32,
        }
        let path = dir.join(MANIFEST);
        let json = std::fs::read(&path).map_err(DataError::io(&path))?;
        let json = drdiff_files::without_mark(&json);
        let corrupt = |e: serde_json::Error| DataError::corrupt(&path, e.to_string());
        let format: Format = serde_json::from_slice(json).map_err(corrupt)?;
        if format.version != VERSION {
            let reason = format!("its version is {}, this program reads {VERSION}", format.version);
            return Err(DataError::corrupt(&path, reason));
        }
        serde_json::from_slice(json).map_err(corrupt)
    }

    /// Writes the manifest into `dir`.
    pub(super) fn write(&self, dir: &Path) -> Result<(), DataError> {
        let path = dir.join(MANIFEST);
        let mut json = serde_json::to_vec_pretty(self).map_err(|e| DataError::corrupt(&path, e.to_string()))?;
        json.push(b'\n');
        Ok(drdiff_files::write(&path, &json)?)
    }

    /// The names of all files of the folder.
    pub(super) fn files(&self) -> Vec<&str> {
        let shards = self.train.values().chain(self.valid.values());
        let mut files: Vec<&str> = shards.map(|shard| shard.file.as_str()).collect();
        files.extend([MANIFEST, &self.tokenizer.file]);
        files.extend(Words::BESIDE);
        files
    }

    /// The shards of one split by tier.
    pub fn shards(&self, split: Split) -> &BTreeMap<String, ShardEntry> {
        match split {
            Split::Train => &self.train,
            Split::Valid => &self.valid,
        }
    }

    /// All tokens of one split.
    pub fn tokens(&self, split: Split) -> u64 {
        self.shards(split).values().map(|shard| shard.tokens).sum()
    }
}
