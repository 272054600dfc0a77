//! What a training run is made of.

use std::collections::BTreeMap;

use drdiff_diffusion::LevelMixture;
use drdiff_model::ModelConfig;
use serde::{Deserialize, Serialize};

use crate::data::Sampling;
use crate::{Error, Result};

/// A training run. Together with the corpus it decides every number of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// The network.
    pub model: ModelConfig,
    /// Optimiser steps in all.
    pub steps: u64,
    /// Sequences of `model.context` tokens in one forward pass.
    pub batch: usize,
    /// Forward passes for each optimiser step.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Relative weight of each block size; drawn once for each forward pass.
    pub block_sizes: BTreeMap<usize, f64>,
    /// What training windows are drawn from.
    #[serde(default)]
    pub sampling: Sampling,
    /// Levels that positions are drawn at.
    #[serde(default)]
    pub levels: LevelMixture,
    /// Share of forward passes that condition on their own prediction.
    #[serde(default)]
    pub self_conditioning: f64,
    /// The optimiser.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// Seed of everything that is drawn.
    #[serde(default)]
    pub seed: u64,
    /// Steps between log lines.
    #[serde(default = "log_every")]
    pub log_every: u64,
    /// Steps between validations, 0 for none but the last.
    #[serde(default)]
    pub validate_every: u64,
    /// Windows of the validation text that are read.
    #[serde(default = "validation_windows")]
    pub validation_windows: usize,
    /// Block sizes whose bound is reported.
    #[serde(default = "validation_blocks")]
    pub validation_blocks: Vec<usize>,
    /// Steps between checkpoints, 0 for none but the last.
    #[serde(default)]
    pub checkpoint_every: u64,
}

/// AdamW (Loshchilov and Hutter, arXiv 1711.05101) with warm-up, a constant stretch and a linear decay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Learning rate at the end as a share of the highest.
    pub final_share: f64,
    /// Steps of linear warm-up.
    pub warmup: u64,
    /// Share of the run, at its end, in which the rate falls.
    pub decay_share: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay, of matrices only.
    pub weight_decay: f64,
    /// Largest norm of the whole gradient.
    pub clip: f64,
    /// Decay of the moving average of the weights that is kept for generation; 0 keeps the weights themselves.
    pub ema: f64,
    /// Muon for the maps of the blocks; without it AdamW moves everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muon: Option<MuonConfig>,
}

/// Muon (Keller Jordan et al., 2024), scaled so that AdamW's learning rate and weight decay suit it (arXiv 2502.16982).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MuonConfig {
    /// Its learning rate as a multiple of `learning_rate`.
    pub rate: f64,
    /// Decay of the momentum.
    pub momentum: f64,
    /// Newton-Schulz iterations.
    pub iterations: usize,
}

impl Default for MuonConfig {
    fn default() -> Self {
        Self {
            rate: 1.0,
            momentum: 0.95,
            iterations: 5,
        }
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            learning_rate: 2e-3,
            final_share: 0.0,
            warmup: 100,
            decay_share: 0.3,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-9,
            weight_decay: 0.05,
            clip: 1.0,
            ema: 0.998,
            muon: None,
        }
    }
}

impl OptimizerConfig {
    /// Learning rate of step `step` (counted from 0) of `steps`.
    pub fn rate(&self, step: u64, steps: u64) -> f64 {
        let warm = ((step + 1) as f64 / self.warmup.max(1) as f64).min(1.0);
        let falling = (steps as f64 * self.decay_share).max(1.0);
        let left = ((steps.saturating_sub(step)) as f64 / falling).min(1.0);
        self.learning_rate * warm * (self.final_share + (1.0 - self.final_share) * left)
    }
}

impl TrainConfig {
    /// Checks what can be checked without the corpus.
    ///
    /// # Errors
    /// Names the first setting that makes no sense.
    pub fn validate(&self) -> Result<()> {
        self.model.validate()?;
        self.levels.validate()?;
        let wrong = |what: String| Err(Error::Config(what));
        for (name, value) in [("steps", self.steps), ("log_every", self.log_every)] {
            if value == 0 {
                return wrong(format!("`{name}` is 0; give it at least 1"));
            }
        }
        for (name, value) in [("batch", self.batch), ("accumulate", self.accumulate)] {
            if value == 0 {
                return wrong(format!("`{name}` is 0; give it at least 1"));
            }
        }
        let context = self.model.context;
        if self.block_sizes.values().sum::<f64>() <= 0.0 || self.block_sizes.values().any(|w| *w < 0.0) {
            return wrong("`block_sizes` needs weights of 0 or more with a positive sum".to_owned());
        }
        let sizes = self.block_sizes.keys().chain(&self.validation_blocks);
        if let Some(size) = sizes.into_iter().find(|size| **size == 0 || **size > context) {
            return wrong(format!(
                "a block of {size} positions is impossible in a context of {context}"
            ));
        }
        if let Some(size) = self
            .validation_blocks
            .iter()
            .find(|size| !context.is_multiple_of(**size))
        {
            return wrong(format!(
                "`validation_blocks`: {size} does not divide the context of {context}"
            ));
        }
        if !(0.0..=1.0).contains(&self.self_conditioning) {
            return wrong(format!(
                "`self_conditioning` is {}; it is a share between 0 and 1",
                self.self_conditioning
            ));
        }
        Ok(())
    }

    /// The block size that a uniform draw `u` in `[0, 1)` selects.
    pub fn block_size(&self, u: f64) -> usize {
        let mut left = u * self.block_sizes.values().sum::<f64>();
        let mut chosen = self.model.context;
        for (size, weight) in &self.block_sizes {
            if *weight > 0.0 {
                chosen = *size;
                if left < *weight {
                    break;
                }
            }
            left -= weight;
        }
        chosen
    }
}

fn one() -> usize {
    1
}

fn log_every() -> u64 {
    20
}

fn validation_windows() -> usize {
    64
}

fn validation_blocks() -> Vec<usize> {
    vec![1, 4, 16, 64]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_warms_up_stays_and_falls() {
        let o = OptimizerConfig {
            learning_rate: 1.0,
            warmup: 10,
            decay_share: 0.5,
            final_share: 0.1,
            ..Default::default()
        };
        assert!((o.rate(0, 100) - 0.1).abs() < 1e-12);
        assert!((o.rate(30, 100) - 1.0).abs() < 1e-12);
        assert!((o.rate(75, 100) - 0.55).abs() < 1e-12);
        assert!((o.rate(100, 100) - 0.1).abs() < 1e-12);
    }
}
