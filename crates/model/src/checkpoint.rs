//! Weights on disk: safetensors with everything that explains them in the header.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};
use drdiff_kernels::Loaded;
use serde::{Deserialize, Serialize};

use crate::{Error, ModelConfig, Result, TensorFile, sizes};

/// Key of the header entry that holds [`Metadata`] as JSON.
pub(crate) const METADATA_KEY: &str = "drdiff";

/// What a weights file says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// The network's shape.
    pub config: ModelConfig,
    /// Optimiser steps taken.
    pub step: u64,
    /// Text tokens seen in training.
    pub tokens: u64,
    /// blake3 of the tokenizer's JSON.
    pub tokenizer_hash: String,
    /// Revision of the program that wrote the file.
    pub commit: String,
    /// The training configuration, as the trainer knew it.
    #[serde(default)]
    pub training: serde_json::Value,
}

impl Metadata {
    /// That of a language model of others, of which only the shape and the tokenizer are known.
    #[must_use]
    pub fn of_others(config: ModelConfig, tokenizer_hash: &str) -> Self {
        Self {
            config,
            step: 0,
            tokens: 0,
            tokenizer_hash: tokenizer_hash.to_owned(),
            commit: String::new(),
            training: serde_json::Value::Null,
        }
    }
}

/// A weights file in memory.
#[derive(Debug)]
pub struct Checkpoint {
    /// What the file says about itself.
    pub metadata: Metadata,
    /// Tensors by name.
    pub tensors: BTreeMap<String, Loaded>,
}

/// Writes named tensors and their description, atomically.
///
/// # Errors
/// If a tensor cannot be read from its device or the file cannot be written.
pub fn save_checkpoint(path: &Path, metadata: &Metadata, tensors: &[(String, Tensor)]) -> Result<()> {
    let describe = |e: &dyn std::fmt::Display| Error::Corrupt {
        path: path.to_owned(),
        expected: "checkpoint",
        reason: e.to_string(),
    };
    let json = serde_json::to_string(metadata).map_err(|e| describe(&e))?;
    let header = HashMap::from([(METADATA_KEY.to_owned(), json)]);
    let on_cpu = tensors
        .iter()
        .map(|(name, tensor)| Ok((name.as_str(), tensor.to_device(&Device::Cpu)?)))
        .collect::<Result<Vec<_>>>()?;
    let bytes =
        safetensors::serialize(on_cpu.iter().map(|(name, t)| (*name, t)), Some(header)).map_err(|e| describe(&e))?;
    Ok(drdiff_files::write(path, &bytes)?)
}

/// Reads a checkpoint's bytes; `path` is for messages only. Tensors keep the type that they have in the file.
///
/// # Errors
/// If the bytes are truncated, damaged, or not a checkpoint of this program, if the sizes that the header names are not those of
/// the tensors, or if a tensor holds anything but finite floating-point numbers.
pub fn read_checkpoint(bytes: &[u8], path: &Path, device: &Device) -> Result<Checkpoint> {
    let corrupt = |reason: String| Error::Corrupt {
        path: path.to_owned(),
        expected: "checkpoint",
        reason,
    };
    let file = TensorFile::read(bytes).map_err(corrupt)?;
    let json = file.get(METADATA_KEY);
    let json = json.ok_or_else(|| corrupt(format!("its header has no `{METADATA_KEY}` entry")))?;
    let metadata: Metadata =
        serde_json::from_str(json).map_err(|e| corrupt(format!("its header is not readable: {e}")))?;
    sizes::check(&metadata.config, path, &file.shapes().collect())?;
    let mut tensors = BTreeMap::new();
    for (name, _) in file.shapes() {
        if let Some(tensor) = file.tensor(name, device).map_err(corrupt)? {
            tensors.insert(name.to_owned(), Loaded::Dense(tensor));
        }
    }
    Ok(Checkpoint { metadata, tensors })
}

/// Reads a checkpoint file.
///
/// # Errors
/// As [`read_checkpoint`], and if the file cannot be read.
pub fn load_checkpoint(path: &Path, device: &Device) -> Result<Checkpoint> {
    let bytes = std::fs::read(path).map_err(|source| Error::File {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    read_checkpoint(&bytes, path, device)
}
