//! What a training run is made of.

use std::collections::BTreeMap;

use drdiff_configs::Section;
use drdiff_data::Sampling;
use drdiff_diffusion::{LevelMixture, MaskedShare};
use drdiff_model::{Head, ModelConfig};
use serde::{Deserialize, Serialize};

use crate::range::{self, Range, at_least_one, of_levels, of_model};
use crate::{AdaptConfig, DistillConfig, Error, Exercises, OptimizerConfig, PromptDropout, Result};

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
    /// Draw of the masked share for some block sizes, instead of `levels.masked_share`: the best range depends on the
    /// block size (clipped schedules of BD3-LM, arXiv 2503.09573, section 5).
    #[serde(default)]
    pub masked_shares: BTreeMap<usize, MaskedShare>,
    /// Share of forward passes that condition on their own prediction.
    #[serde(default)]
    pub self_conditioning: f64,
    /// Windows without their opening, for guidance by the prompt; the plain objective, and lessons of distillation on masked text.
    #[serde(default)]
    pub prompt_dropout: PromptDropout,
    /// Made-up windows to learn retrieval from; the plain objective alone.
    #[serde(default)]
    pub exercises: Exercises,
    /// The optimiser.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// Whether the last maps of attention and feed-forward begin at zero, so that every block begins as no change. Only
    /// for a run that begins with new weights.
    #[serde(default)]
    pub zero_init_projections: bool,
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
    /// Keeps what a language model can do while it becomes a diffusion model; for networks that predict next tokens, with the
    /// plain objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapt: Option<AdaptConfig>,
    /// Teaches a trained network to write in fewer steps, instead of the plain objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distill: Option<DistillConfig>,
}

impl TrainConfig {
    /// Checks what can be checked without the corpus.
    ///
    /// # Errors
    /// Names the first setting that makes no sense.
    pub fn validate(&self) -> Result<()> {
        self.model.validate().map_err(of_model)?;
        self.levels.validate().map_err(|error| of_levels("levels", error))?;
        for (size, share) in &self.masked_shares {
            let section = format!("masked_shares.{size}");
            share.validate().map_err(|error| of_levels(&section, error))?;
        }
        self.optimizer.validate()?;
        for (key, count) in [
            ("steps", self.steps),
            ("log_every", self.log_every),
            ("batch", self.batch as u64),
            ("accumulate", self.accumulate as u64),
            ("validation_windows", self.validation_windows as u64),
        ] {
            at_least_one(key, count)?;
        }
        range::of_sampling(&self.sampling)?;
        let wrong = |what: String| Err(Error::Config(what));
        let context = self.model.context;
        range::weights("block_sizes", self.block_sizes.values().copied())?;
        let sizes = self.block_sizes.keys().chain(&self.validation_blocks);
        if let Some(size) = sizes.into_iter().find(|size| **size == 0 || **size > context) {
            return wrong(format!(
                "a block of {size} positions is impossible in a context of {context}"
            ));
        }
        let drawn = self.block_sizes.iter().filter(|(_, weight)| **weight > 0.0);
        for size in drawn.map(|(size, _)| size).chain(&self.validation_blocks) {
            self.model.attention.check_block(*size, context)?;
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
        if let Some(size) = self
            .masked_shares
            .keys()
            .find(|size| !self.block_sizes.contains_key(size))
        {
            return wrong(format!(
                "`masked_shares` names a block size of {size}, which `block_sizes` never draws; name sizes of `block_sizes` only"
            ));
        }
        Range::Share.check("self_conditioning", self.self_conditioning)?;
        self.prompt_dropout.validate(context)?;
        self.exercises.validate(context)?;
        if self.model.head != Head::Evidence {
            let LevelMixture {
                gaussian,
                independent,
                joint,
                ..
            } = self.levels;
            let soft = [
                ("levels.gaussian", gaussian),
                ("levels.independent", independent),
                ("levels.joint", joint),
                ("self_conditioning", self.self_conditioning),
            ];
            if let Some((key, share)) = soft.iter().find(|(_, share)| *share > 0.0) {
                return wrong(format!(
                    "`{key}` is {share}, and this network reads tokens and masks alone; set it to 0"
                ));
            }
        }
        if let Some(adapt) = &self.adapt {
            adapt.validate()?;
            if !self.model.next_token {
                return wrong(
                    "`adapt` is for networks that predict next tokens; begin with a language model (`--from`), or take the section away"
                        .to_owned(),
                );
            }
            if self.distill.is_some() {
                return wrong("`adapt` and `distill` cannot be learned at once; take one of them away".to_owned());
            }
        }
        match &self.distill {
            Some(distill) => distill.validate(self.steps, context, self.optimizer.ema),
            None => Ok(()),
        }
    }

    /// Learning rate of step `step`, counted from 0; each round of a distillation begins anew.
    pub fn rate(&self, step: u64) -> f64 {
        match &self.distill {
            Some(distill) => {
                let steps = distill.round_steps(self.steps);
                self.optimizer.rate(step % steps, steps)
            }
            None => self.optimizer.rate(step, self.steps),
        }
    }

    /// What levels are drawn from in blocks of `block_size`.
    pub fn levels(&self, block_size: usize) -> LevelMixture {
        let masked_share = self.masked_shares.get(&block_size);
        LevelMixture {
            masked_share: *masked_share.unwrap_or(&self.levels.masked_share),
            ..self.levels
        }
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

impl Section for TrainConfig {
    const NAME: &'static str = "train";
    const BASE: Option<&'static str> = None;

    fn check(&self) -> std::result::Result<(), String> {
        self.validate().map_err(|e| e.to_string())
    }
}
