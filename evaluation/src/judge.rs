//! Autoregressive judges, which say how likely they find a text: a Llama, such as SmolLM2, or a network of this program.

mod folder;
mod gguf;
mod llama;
mod own;
mod plain;
mod settings;
mod unused;
mod vocabulary;

use std::path::Path;

use candle_core::Device;
use tokenizers::Tokenizer;

pub use self::own::OwnJudge;

use self::llama::Llama;
use crate::sweep::{Judge, Result, SweepError};

/// Tokens that are read at once at most, with the one that every text begins behind.
const CONTEXT: usize = 2048;

/// What files hold.
struct Parts {
    hash: String,
    network: Llama,
    tokenizer: Tokenizer,
    start: u32,
}

fn unfit(path: &Path, reason: &str) -> SweepError {
    SweepError::Config(format!(
        "{} cannot be a judge ({reason}); name a Llama with a byte-level vocabulary, such as SmolLM2: a GGUF file, or a folder with config.json, tokenizer.json and safetensors",
        path.display()
    ))
}

fn unreadable(path: &Path, source: std::io::Error) -> SweepError {
    SweepError::File {
        action: "read",
        path: path.to_owned(),
        source,
    }
}

/// The name of a judge: that of its folder, or of its file without the extension.
#[must_use]
pub fn name_of(path: &Path) -> String {
    // A folder's name may hold dots that are no extension.
    let name = match path.is_dir() {
        true => path.file_name(),
        false => path.file_stem(),
    };
    name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// A Llama.
pub struct LlamaJudge {
    name: String,
    hash: String,
    network: Llama,
    tokenizer: Tokenizer,
    /// What every text begins behind.
    start: u32,
}

impl LlamaJudge {
    /// Reads weights and vocabulary from one GGUF file, or from a folder as Hugging Face keeps models, to compute on `device`.
    ///
    /// # Errors
    /// If a file cannot be read, is no Llama, would be read wrongly, or has no byte-level BPE vocabulary.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        let Parts {
            hash,
            network,
            tokenizer,
            start,
        } = match path.is_dir() {
            true => folder::read(path, device)?,
            false => gguf::read(path, device)?,
        };
        let ids = tokenizer.get_vocab(true).into_values().chain([start]);
        if ids.max().is_some_and(|id| id as usize >= network.vocab()) {
            return Err(unfit(path, "its vocabulary has more tokens than its network"));
        }
        Ok(Self {
            name: name_of(path),
            hash,
            network,
            tokenizer,
            start,
        })
    }
}

impl Judge for LlamaJudge {
    fn name(&self) -> &str {
        &self.name
    }

    fn hash(&self) -> &str {
        &self.hash
    }

    fn context(&self) -> usize {
        CONTEXT - 1
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode(text, false);
        let encoding = encoding.map_err(|e| SweepError::Judge(format!("{} cannot read a text: {e}", self.name)))?;
        Ok(encoding.get_ids().to_vec())
    }

    fn nats(&mut self, before: &[u32], ids: &[u32]) -> Result<f64> {
        let all: Vec<u32> = [self.start].iter().chain(before).chain(ids).copied().collect();
        // The logits at a position are those of the token behind it.
        let nats = self.network.surprise(&all[..all.len() - 1], before.len(), ids);
        let nats = nats.map_err(|e| SweepError::Judge(format!("{} failed: {}", self.name, first_line(&e))))?;
        Ok(nats.iter().sum())
    }
}

/// An error without the backtrace that may follow it.
pub(crate) fn first_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_judge_is_refused_in_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.gguf");
        let told = |path: &Path| LlamaJudge::open(path, &Device::Cpu).err().unwrap().to_string();
        assert!(told(&path).contains("cannot read"));
        std::fs::write(&path, b"GGUF and nothing else").unwrap();
        assert!(told(&path).contains("cannot be a judge"), "{}", told(&path));
    }
}
