//! Judges: language models that say how likely they find a text, one token at a time.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Device;
use drdiff_data::Tokenizer;
use drdiff_kernels::MappedFile;
use drdiff_model::likelihood;
use drdiff_model::{Error, ModelConfig, Network, Precision, Pretrained, RopeScaling, build_scorer};

use crate::{Error as EvaluationError, Judge, Result};

/// Tokens that a language model of others reads at once at most, with the one that every text begins behind.
const CONTEXT: usize = 2048;

/// A network that scores texts: a language model of others, whose rows predict next tokens, or one that was trained here.
pub struct NetworkJudge {
    name: String,
    hash: String,
    network: Network,
    tokenizer: Tokenizer,
    /// What every text begins behind, where its first token is predicted too.
    start: Option<u32>,
    context: usize,
}

impl NetworkJudge {
    /// Reads a language model of others (see [`Pretrained`]), which computes on `device` with weights in f32.
    ///
    /// # Errors
    /// If a file cannot be read, or the model would be read wrongly or has stretched positions, which the name of a judge does not
    /// tell.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        let hash = hash(path)?;
        let told = |error: Error| match error {
            Error::Corrupt { reason, .. } => unfit(path, &reason),
            other => unfit(path, &first_line(&other)),
        };
        let Pretrained { network, tokenizer } = Pretrained::read_as(path, Precision::F32).map_err(told)?;
        if let Some(scaling) = &network.config.rope_scaling {
            return Err(unfit(
                path,
                &format!("its positions are stretched by {}", of_scaling(scaling)),
            ));
        }
        let start = tokenizer.special("<|endoftext|>").or(tokenizer.start());
        let start = start.unwrap_or(tokenizer.end_of_text());
        let network = build_scorer(&network.config, network.tensors, device).map_err(told)?;
        Ok(Self {
            name: name_of(path),
            hash,
            context: network.config().context.min(CONTEXT) - 1,
            network,
            tokenizer,
            start: Some(start),
        })
    }

    /// A network that was trained here, with this name and the hash of its weights. What it says of a text is its exact likelihood in
    /// blocks of one token, so one that was trained with this block size alone, an autoregressive model, judges best.
    #[must_use]
    pub fn of(name: String, hash: String, network: Network, tokenizer: Tokenizer) -> Self {
        let ModelConfig {
            next_token, context, ..
        } = *network.config();
        let start = next_token.then(|| tokenizer.start().unwrap_or(tokenizer.end_of_text()));
        Self {
            name,
            hash,
            context: context - usize::from(next_token),
            network,
            tokenizer,
            start,
        }
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> EvaluationError {
        EvaluationError::Judge(format!("{} failed: {}", self.name, first_line(error)))
    }
}

impl Judge for NetworkJudge {
    fn name(&self) -> &str {
        &self.name
    }

    fn hash(&self) -> &str {
        &self.hash
    }

    fn context(&self) -> usize {
        self.context
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.tokenizer.encode(text).map_err(|e| self.failed(&e))
    }

    fn nats(&mut self, before: &[u32], ids: &[u32]) -> Result<f64> {
        let all: Vec<u32> = self.start.iter().chain(before).chain(ids).copied().collect();
        let nats = likelihood(&self.network, &all, all.len() - ids.len());
        Ok(nats.map_err(|e| self.failed(&e))?.iter().sum())
    }
}

fn of_scaling(scaling: &RopeScaling) -> &'static str {
    match scaling {
        RopeScaling::Linear { .. } => "`linear`",
        RopeScaling::Llama3 { .. } => "`llama3`",
        RopeScaling::Factors(_) => "`rope_freqs.weight`",
    }
}

/// blake3 of a file, or of what is read of a folder, in hex.
fn hash(path: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    for file in files(path)? {
        let bytes = MappedFile::open(&file).map_err(|source| unreadable(&file, source))?;
        hasher.update(&bytes);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// The file itself, or what is read of a folder: the weights last, in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|source| unreadable(path, source))?;
    let mut weights: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    weights.retain(|file| file.extension().is_some_and(|extension| extension == "safetensors"));
    weights.sort();
    Ok(["config.json", "tokenizer.json"]
        .map(|name| path.join(name))
        .into_iter()
        .chain(weights)
        .collect())
}

fn unfit(path: &Path, reason: &str) -> EvaluationError {
    EvaluationError::Config(format!(
        "{} cannot be a judge ({reason}); name a Llama, Qwen2, Qwen3 or Gemma 3, such as SmolLM2: a GGUF file, or a folder with config.json, tokenizer.json and safetensors",
        path.display()
    ))
}

fn unreadable(path: &Path, source: std::io::Error) -> EvaluationError {
    EvaluationError::File {
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
        let told = |path: &Path| NetworkJudge::open(path, &Device::Cpu).err().unwrap().to_string();
        assert!(told(&path).contains("cannot read"));
        std::fs::write(&path, b"GGUF and nothing else").unwrap();
        assert!(told(&path).contains("cannot be a judge"), "{}", told(&path));
    }
}
