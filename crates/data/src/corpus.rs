//! A prepared corpus, open for reading.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{Tokenizer, Words};

use super::error::DataError;
use super::manifest::{Manifest, Split, TOKENIZER};
use super::shard::Shard;

/// A stretch of tokens, as training and measuring see text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Token ids, as many as were asked for.
    pub ids: Vec<u32>,
    /// Bytes of text that the ids stand for: the denominator of bits per byte. End-of-text counts nothing.
    pub bytes: u64,
}

/// A corpus folder: tokenizer, manifest and open shards. Memory does not grow with the text.
#[derive(Debug)]
pub struct Corpus {
    dir: PathBuf,
    manifest: Manifest,
    tokenizer: Tokenizer,
    /// Bytes of text for each id.
    byte_lengths: Vec<u64>,
    train: BTreeMap<String, Shard>,
    valid: BTreeMap<String, Shard>,
}

impl Corpus {
    /// Opens the folder that [`prepare`](super::prepare) wrote.
    ///
    /// # Errors
    /// A missing or damaged manifest, tokenizer or shard, or files that do not belong together.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, DataError> {
        let dir = dir.as_ref();
        let manifest = Manifest::read(dir)?;
        let tokenizer_path = dir.join(TOKENIZER);
        let tokenizer = Tokenizer::from_file(&tokenizer_path)?;
        if tokenizer.hash() != manifest.tokenizer.blake3 {
            return Err(DataError::corrupt(
                &tokenizer_path,
                "it is not the tokenizer of the manifest",
            ));
        }
        let open = |split: Split| -> Result<BTreeMap<String, Shard>, DataError> {
            let mut shards = BTreeMap::new();
            for (tier, entry) in manifest.shards(split) {
                let path = dir.join(&entry.file);
                let shard = Shard::open(&path)?;
                let told = (entry.tokens, entry.documents, manifest.tokenizer.vocab_size as u32);
                if (shard.tokens(), shard.documents(), shard.vocabulary()) != told {
                    return Err(DataError::corrupt(&path, "it is not the shard of the manifest"));
                }
                shards.insert(tier.clone(), shard);
            }
            Ok(shards)
        };
        let (train, valid) = (open(Split::Train)?, open(Split::Valid)?);
        let ids = 0..tokenizer.vocab_size() as u32;
        let byte_lengths = ids.map(|id| tokenizer.bytes_of(id).len() as u64).collect();
        Ok(Self {
            dir: dir.to_owned(),
            manifest,
            tokenizer,
            byte_lengths,
            train,
            valid,
        })
    }

    /// What the folder holds and how it was made.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// blake3 over the hashes of the tokenizer and of all shards: the same for the same text in the same order.
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.manifest.tokenizer.blake3.as_bytes());
        for split in [Split::Train, Split::Valid] {
            for (tier, shard) in self.manifest.shards(split) {
                for part in [split.name(), tier, &shard.blake3] {
                    hasher.update(&[0]).update(part.as_bytes());
                }
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The tokenizer of the ids.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Files beside the tokenizer that a model of this corpus keeps as well, such as its chat template: names and contents.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn beside(&self) -> Result<Vec<(&'static str, Vec<u8>)>, DataError> {
        let paths = Words::BESIDE.iter().map(|name| (*name, self.dir.join(name)));
        let read = |(name, path): (_, PathBuf)| Ok((name, std::fs::read(&path).map_err(DataError::io(&path))?));
        paths.filter(|(_, path)| path.exists()).map(read).collect()
    }

    /// Shards of one split by tier.
    pub fn shards(&self, split: Split) -> &BTreeMap<String, Shard> {
        match split {
            Split::Train => &self.train,
            Split::Valid => &self.valid,
        }
    }

    /// At most `limit` windows of `window` tokens of the validation text, always the same ones: a tier's text is cut
    /// into windows end to end (the last, partial one is dropped), and those read are spaced evenly over it.
    ///
    /// `tier` restricts them to one tier; otherwise each tier gives windows in proportion to its length.
    ///
    /// # Errors
    /// A tier that does not exist, validation text shorter than one window, or a failing disk.
    pub fn valid_windows(&self, window: usize, tier: Option<&str>, limit: usize) -> Result<Vec<Window>, DataError> {
        let shards: Vec<_> = self
            .valid
            .iter()
            .filter(|(name, _)| tier.is_none_or(|tier| tier == *name))
            .collect();
        if let (Some(tier), true) = (tier, shards.is_empty()) {
            return Err(self.unknown_tier(Split::Valid, tier));
        }
        let cuts = |shard: &Shard| shard.tokens() / (window as u64).max(1);
        let places: Vec<(&Shard, u64)> = shards
            .iter()
            .flat_map(|(_, shard)| (0..cuts(shard)).map(move |cut| (*shard, cut * window as u64)))
            .collect();
        if places.is_empty() || window == 0 {
            let tokens = shards.iter().map(|(_, shard)| shard.tokens()).sum();
            let tier = tier.unwrap_or("all").to_owned();
            return Err(DataError::Short {
                split: Split::Valid.name(),
                tier,
                tokens,
                window,
            });
        }
        spread(places.len(), limit)
            .map(|place| self.window(places[place].0, places[place].1, window))
            .collect()
    }

    /// `window` tokens from `start` on.
    pub(super) fn window(&self, shard: &Shard, start: u64, window: usize) -> Result<Window, DataError> {
        let ids = shard.read(start..start + window as u64)?;
        let bytes = self.bytes(&ids);
        Ok(Window { ids, bytes })
    }

    /// Bytes of text that `ids` stand for.
    pub fn bytes(&self, ids: &[u32]) -> u64 {
        ids.iter()
            .map(|&id| self.byte_lengths.get(id as usize).copied().unwrap_or(0))
            .sum()
    }

    pub(super) fn unknown_tier(&self, split: Split, tier: &str) -> DataError {
        let known = self.shards(split).keys().cloned().collect::<Vec<_>>().join(", ");
        DataError::UnknownTier {
            split: split.name(),
            tier: tier.to_owned(),
            known,
        }
    }
}

/// At most `limit` of `places` numbers from 0 on, evenly spaced.
pub(super) fn spread(places: usize, limit: usize) -> impl Iterator<Item = usize> {
    let count = limit.min(places);
    (0..count).map(move |index| (2 * index + 1) * places / (2 * count))
}
