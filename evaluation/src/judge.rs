//! An autoregressive judge: a Llama, such as SmolLM2, that says how likely it finds a text.

mod folder;
mod gguf;
mod llama;
mod vocabulary;

use std::path::Path;

use tokenizers::Tokenizer;

use self::llama::Llama;
use crate::sweep::{Judge, Result, Surprise, SweepError};

/// Longest text that is read at once, in tokens with its prompt.
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

/// A Llama on a CPU.
pub struct LlamaJudge {
    name: String,
    hash: String,
    network: Llama,
    tokenizer: Tokenizer,
    /// What every text begins behind.
    start: u32,
}

impl LlamaJudge {
    /// Reads weights and vocabulary from one GGUF file, or from a folder as Hugging Face keeps models.
    ///
    /// # Errors
    /// If a file cannot be read, is no Llama, or has no byte-level BPE vocabulary.
    pub fn open(path: &Path) -> Result<Self> {
        let Parts {
            hash,
            network,
            tokenizer,
            start,
        } = match path.is_dir() {
            true => folder::read(path)?,
            false => gguf::read(path)?,
        };
        // A folder's name may hold dots that are no extension.
        let name = match path.is_dir() {
            true => path.file_name(),
            false => path.file_stem(),
        };
        Ok(Self {
            name: name.map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            hash,
            network,
            tokenizer,
            start,
        })
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode(text, false);
        let encoding = encoding.map_err(|e| SweepError::Judge(format!("{} cannot read a text: {e}", self.name)))?;
        Ok(encoding.get_ids().to_vec())
    }
}

impl Judge for LlamaJudge {
    fn name(&self) -> &str {
        &self.name
    }

    fn hash(&self) -> &str {
        &self.hash
    }

    /// Prompt and text are encoded apart, so that the same tokens are counted whatever the prompt. Of what does not fit
    /// into the context, the end is not read.
    fn read(&mut self, prompt: &str, text: &str) -> Result<Surprise> {
        let mut before = vec![self.start];
        before.extend(self.encode(prompt)?);
        before.truncate(CONTEXT / 2);
        let mut ids = self.encode(text)?;
        ids.truncate(CONTEXT - before.len());
        let failed = |e| SweepError::Judge(format!("{} failed: {}", self.name, first_line(&e)));
        let all: Vec<u32> = before.iter().chain(&ids).copied().collect();
        // The logits at a position are those of the token behind it.
        let logits = self
            .network
            .logits(&all[..all.len() - 1], before.len() - 1)
            .map_err(failed)?;
        let nats = logits.iter().zip(&ids).map(|(row, token)| surprise(row, *token)).sum();
        Ok(Surprise {
            nats,
            tokens: ids.len(),
        })
    }
}

/// `-ln p` of a token, in f64.
fn surprise(logits: &[f32], token: u32) -> f64 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|logit| f64::from(logit - most).exp()).sum();
    let own = logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
    total.ln() - f64::from(own - most)
}

/// An error without the backtrace that may follow it.
pub(crate) fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surprise_is_minus_log_probability() {
        let logits = [0.0, 3_f32.ln(), f32::NEG_INFINITY];
        assert!((surprise(&logits, 0) - 4_f64.ln()).abs() < 1e-6);
        assert!((surprise(&logits, 1) - (4.0 / 3.0_f64).ln()).abs() < 1e-6);
        assert_eq!(surprise(&logits, 2), f64::INFINITY);
    }

    #[test]
    fn what_is_no_judge_is_refused_in_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.gguf");
        let told = |path: &Path| LlamaJudge::open(path).err().unwrap().to_string();
        assert!(told(&path).contains("cannot read"));
        std::fs::write(&path, b"GGUF and nothing else").unwrap();
        assert!(told(&path).contains("cannot be a judge"), "{}", told(&path));
    }
}
