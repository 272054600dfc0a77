//! What a weights file says about itself, without its tensors.

use std::path::Path;

use drdiff_gguf::GgufHeader;
use drdiff_kernels::MappedFile;

use crate::checkpoint::METADATA_KEY;
use crate::{Metadata, TensorFile, gguf};

/// Names of the weights in a model folder of this program: as they are exported, and as training writes them.
pub const WEIGHTS: [&str; 2] = ["model.gguf", "model.safetensors"];

/// Reads the description in the head of a weights file of this program; `None` if it is no such file.
#[must_use]
pub fn read_head(path: &Path) -> Option<Metadata> {
    head_of(&MappedFile::open(path).ok()?)
}

/// The same of weights that are in memory.
#[must_use]
pub fn head_of(weights: &[u8]) -> Option<Metadata> {
    match GgufHeader::read(weights) {
        Ok(header) => serde_json::from_str(header.get(gguf::METADATA_KEY)?.as_text()?).ok(),
        Err(_) => serde_json::from_str(TensorFile::read(weights).ok()?.get(METADATA_KEY)?).ok(),
    }
}
