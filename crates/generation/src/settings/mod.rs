//! The settings of writing: each is defined once, in [`SETTINGS`], and [`Choices::resolve`] finds what suits where nobody chose.

mod choices;
mod commit;
mod configured;
mod page;
mod resolve;
mod setting;
mod slot;
mod table;
#[cfg(test)]
mod tests;

use drdiff_attention::PlanKind;
use drdiff_solver::{CommitSchedule, Process, SamplerConfig};
use serde::{Deserialize, Serialize};

use crate::{Compute, Error, Result};

pub use choices::unknown_key;
pub use choices::{Choices, setting};
pub use configured::Configured;
pub use page::page;
pub use resolve::{NetworkKind, default_of};
pub use setting::{Concerns, Flag, Kind, Range, Setting, whole};
pub use table::SETTINGS;

/// How a text is written: all that a request needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Tokens to write at most.
    pub tokens: usize,
    /// Positions that are denoised together; 1 with one step is autoregressive generation.
    pub block_size: usize,
    /// How each block is sampled.
    pub sampler: SamplerConfig,
    /// Seed of all noise; with the request's id it decides every draw.
    pub seed: u64,
    /// Ends the text where the model ends it.
    pub stop_at_end: bool,
    /// Ends the text before the first of these strings; a text to fill is never ended.
    pub stop: Vec<String>,
    /// Feeds each step the data prediction of the step before it.
    pub self_condition: bool,
    /// How closely the prompt is followed, by classifier-free guidance: 1 reads it plainly, more is closer, 0 forgets it. Any
    /// other number than 1 makes a second network call in each pass, without the prompt, if there is one.
    pub style_guidance: f64,
    /// The attention plan, if not the one that the model was trained with.
    pub attention: Option<PlanKind>,
    /// Share of the routed experts that runs, for models that have some.
    #[serde(skip_serializing_if = "Compute::is_full")]
    pub compute: Compute,
}

impl Settings {
    /// Whether the text is written by draft and check.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.sampler.commit == CommitSchedule::Verified
    }

    /// Refuses what draft and check has no place for: it writes what blocks of one token in one step write.
    ///
    /// # Errors
    /// [`Error::Verified`].
    pub fn check_verified(&self) -> Result<()> {
        let refuse = |problem, remedy| Err(Error::Verified { problem, remedy });
        match self.is_verified() {
            true if self.sampler.process.is_soft() => refuse(
                "drafts masked positions, which soft processes have none of",
                "use the process `absorbing`",
            ),
            true if (self.block_size, self.sampler.steps) != (1, 1) => refuse(
                "checks token by token, as blocks of 1 in 1 step are written",
                "leave the block size and the steps out, or choose another schedule",
            ),
            _ => Ok(()),
        }
    }

    /// Refuses steps that a block could not use, so that no record tells of steps that were never taken: on the absorbing path each
    /// commits a token at least, unless doubtful ones are opened again.
    ///
    /// # Errors
    /// [`Error::IdleSteps`].
    pub fn check_steps(&self) -> Result<()> {
        let (sampler, block_size) = (&self.sampler, self.block_size);
        let steps = sampler.steps;
        // A block of nothing is refused by itself.
        let commits = sampler.process == Process::Absorbing && sampler.reabsorb.is_none() && block_size > 0;
        match commits && steps > block_size {
            true => Err(Error::IdleSteps { steps, block_size }),
            false => Ok(()),
        }
    }
}

/// What is written where nobody chooses anything: the `default` preset.
impl Default for Settings {
    fn default() -> Self {
        Self {
            tokens: 400,
            block_size: 16,
            sampler: SamplerConfig::default(),
            seed: 0,
            stop_at_end: true,
            stop: Vec::new(),
            self_condition: false,
            style_guidance: 1.0,
            attention: None,
            compute: Compute::default(),
        }
    }
}
