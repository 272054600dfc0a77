//! Language models of others: Llama, Qwen2, Qwen3 and, for scoring alone, Gemma 3, from a GGUF file of llama.cpp or a folder of Hugging Face.
//!
//! They are configurations of [`crate::Network`]: plain tables at both ends, causal context, and rows of clean tokens that
//! predict the next ones. Importing renames their tensors and lays queries, keys and values, and gate and up, one behind the
//! other, as this program's layers have them.

mod assemble;
mod gemma;
mod gguf;
mod hugging_face;
mod names;
mod plain;
mod settings;
mod stack;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device};
use drdiff_kernels::Loaded;
use drdiff_routing::Activation;

use crate::{Form, Local, Mask, ModelConfig, sizes};

pub use gguf::import_gguf;
pub use hugging_face::import_folder;

/// Positions of a training sequence where a file does not say how many there were.
const CONTEXT: usize = 2048;

/// Layers that are listed one by one at most, for a file can name any number.
const MOST_LAYERS: usize = 1 << 10;

/// The numbers that weights are read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// As they are stored: of few bits where the file has such.
    Stored,
    /// As f32, without a further rounding: for scoring texts.
    F32,
}

/// A language model of others, its tensors under this program's names.
#[derive(Debug)]
pub struct Imported {
    /// The shape of the network.
    pub config: ModelConfig,
    /// Its tensors.
    pub tensors: BTreeMap<String, Loaded>,
}

impl Imported {
    /// The same network with a vector of its own for absorbed positions, which begins as the mean of all tokens: what an adaptation
    /// to diffusion begins with.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn with_mask(mut self) -> crate::Result<Self> {
        if self.config.mask == Mask::Absent {
            let embedding = match self.tensors.get("embedding") {
                Some(Loaded::Dense(table)) => table.to_dtype(DType::F32)?,
                Some(Loaded::Quantized(table)) => table.dequantize(&Device::Cpu)?,
                None => return Err(crate::Error::Config("the weights hold no `embedding`".to_owned())),
            };
            let absorbed = Loaded::Dense(embedding.mean(0)?);
            self.tensors.insert("absorbed".to_owned(), absorbed);
            self.config.mask = Mask::Learned;
        }
        Ok(self)
    }

    /// Holds the sizes against the tensors of the file at `path`.
    fn checked(self, path: &Path) -> Result<Self> {
        let shapes = self
            .tensors
            .iter()
            .map(|(name, weight)| (name.as_str(), dims(weight)))
            .collect();
        sizes::check(&self.config, path, &shapes).map_err(|error| error.to_string())?;
        Ok(self)
    }
}

fn dims(weight: &Loaded) -> &[usize] {
    match weight {
        Loaded::Dense(tensor) => tensor.dims(),
        Loaded::Quantized(tensor) => tensor.shape().dims(),
    }
}

/// What is wrong with a model, in words that complete "it cannot be used: …".
type Result<T> = std::result::Result<T, String>;

/// The families that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Llama,
    Qwen2,
    Qwen3,
    /// For scoring alone.
    Gemma3,
}

impl Family {
    /// The family of an architecture, by the name that both kinds of files give it.
    fn of(name: &str) -> Result<Self> {
        match name {
            "llama" => Ok(Self::Llama),
            "qwen2" => Ok(Self::Qwen2),
            "qwen3" => Ok(Self::Qwen3),
            "gemma3" | "gemma3_text" => Ok(Self::Gemma3),
            _ => Err(format!(
                "its architecture is `{name}`, and llama, qwen2, qwen3 and gemma3 are read"
            )),
        }
    }

    /// Whether queries and keys are normed.
    fn norms_heads(self) -> bool {
        matches!(self, Self::Qwen3 | Self::Gemma3)
    }

    /// How the decoder differs from Llama, of this width and with these layers that see the last positions alone.
    fn form(self, width: usize, local: Option<Local>) -> Form {
        match self {
            Self::Llama | Self::Qwen2 | Self::Qwen3 => Form::default(),
            Self::Gemma3 => Form {
                activation: Activation::GeluTanh,
                branch_norms: true,
                embedding_scale: Some((width as f64).sqrt()),
                local,
            },
        }
    }
}
