//! A network of this program as a judge, one token at a time.

use drdiff_model::{Network, Tokenizer};
use drdiff_training::likelihood;

use super::first_line;
use crate::sweep::{Judge, Result, SweepError};

/// A network that was trained here. What it says of a text is its exact likelihood in blocks of one token, so a network that was
/// trained with this block size alone, the autoregressive twin of a model, judges best.
pub struct OwnJudge {
    name: String,
    hash: String,
    network: Network,
    tokenizer: Tokenizer,
}

impl OwnJudge {
    /// A judge with this name and the hash of its weights.
    #[must_use]
    pub fn new(name: String, hash: String, network: Network, tokenizer: Tokenizer) -> Self {
        Self {
            name,
            hash,
            network,
            tokenizer,
        }
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> SweepError {
        SweepError::Judge(format!("{} failed: {}", self.name, first_line(error)))
    }
}

impl Judge for OwnJudge {
    fn name(&self) -> &str {
        &self.name
    }

    fn hash(&self) -> &str {
        &self.hash
    }

    fn context(&self) -> usize {
        self.network.config().context
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.tokenizer.encode(text).map_err(|e| self.failed(&e))
    }

    fn nats(&mut self, before: &[u32], ids: &[u32]) -> Result<f64> {
        let all = [before, ids].concat();
        let nats = likelihood(&self.network, &all, before.len()).map_err(|e| self.failed(&e))?;
        Ok(nats.iter().sum())
    }
}
