//! A network of this program as a judge, one token at a time.

use drdiff_model::{Network, Tokenizer};
use drdiff_training::likelihood;

use super::{first_line, last};
use crate::sweep::{Judge, Result, Surprise, SweepError};

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

    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.tokenizer.encode(text).map_err(|e| self.failed(&e))
    }
}

impl Judge for OwnJudge {
    fn name(&self) -> &str {
        &self.name
    }

    fn hash(&self) -> &str {
        &self.hash
    }

    /// Prompt and text are encoded apart and cut as by [`LlamaJudge`](super::LlamaJudge).
    fn read(&mut self, prompt: &str, text: &str) -> Result<Surprise> {
        let context = self.network.config().context;
        let mut ids = last(&self.encode(prompt)?, context / 2).to_vec();
        let from = ids.len();
        ids.extend(self.encode(text)?);
        ids.truncate(context);
        let nats = likelihood(&self.network, &ids, from).map_err(|e| self.failed(&e))?;
        Ok(Surprise {
            nats: nats.iter().sum(),
            tokens: nats.len(),
        })
    }
}
