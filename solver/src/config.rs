//! Everything that decides how a block is sampled.

use drdiff_diffusion::ScheduleConfig;
use serde::{Deserialize, Serialize};

use crate::absorbing::Pace;
use crate::commit::CommitSchedule;
use crate::dpm::SolverConfig;
use crate::error::{Result, require};
use crate::frequency::FrequencyConfig;
use crate::grid::GridConfig;
use crate::guidance::{GuidanceConfig, ReabsorbConfig};
use crate::names::named;
use crate::sampling::SamplingConfig;
use crate::verified::DraftLength;

/// The path that the levels of a block take from nothing known to all known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Process {
    /// From absorbed straight to anchor, position by position: masked diffusion.
    #[default]
    Absorbing,
    /// All positions rise together through soft levels; tokens are read off at the end.
    Gaussian,
    /// Soft levels that rise at their own pace; sure positions become anchors on the way.
    SoftAbsorbing,
    /// Continuous first, discrete last: all positions rise together, then levels stay as they are and positions become anchors
    /// one after another, with what evidence they have. As the posterior depends on the evidence alone, not on levels, the
    /// network serves this path as it is (the hybrid sampler of Discrete Stochastic Localization, arXiv 2602.16169).
    Hybrid,
}

named!(Process, "process", {
    Absorbing => "absorbing",
    Gaussian => "gaussian",
    SoftAbsorbing => "soft-absorbing" | "soft_absorbing",
    Hybrid => "hybrid",
});

impl Process {
    /// Whether open positions carry soft evidence, so that predictions must hold data in embedding space.
    #[must_use]
    pub fn is_soft(self) -> bool {
        self != Self::Absorbing
    }
}

/// Configuration of the sampler of a block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplerConfig {
    /// The path of the levels.
    pub process: Process,
    /// Network evaluations for a block, at least 1; the absorbing process never needs more than open positions.
    pub steps: usize,
    /// Solver of soft positions.
    pub solver: SolverConfig,
    /// Noise schedule of soft positions; training's own is best.
    pub schedule: ScheduleConfig,
    /// Grid of soft positions.
    pub grid: GridConfig,
    /// Lowers the solver's order over the last updates when there are fewer than 10, as DPM-Solver++'s authors do.
    pub lower_order_final: bool,
    /// Score temperature of soft positions: the implied noise is divided by it, so below 1 is colder (the
    /// form of Plaid, arXiv 2305.18619). Above 0; left out where alpha is at most 0.05, where it is ill-conditioned.
    pub score_temperature: f64,
    /// Which positions are committed first.
    pub commit: CommitSchedule,
    /// How many positions are committed in each step.
    pub pace: Pace,
    /// Second-order extrapolation of log-probabilities on the absorbing path.
    pub extrapolate: bool,
    /// How tokens are drawn.
    pub sampling: SamplingConfig,
    /// How far tokens that the text holds already are held back.
    pub frequency: FrequencyConfig,
    /// Guidance of the soft absorbing path; the hybrid one takes from it when its first position may become an anchor.
    pub guidance: GuidanceConfig,
    /// Opening doubtful commitments again; off by default.
    pub reabsorb: Option<ReabsorbConfig>,
    /// How many tokens the schedule `verified` drafts before it checks them.
    #[serde(skip_serializing_if = "DraftLength::is_auto")]
    pub draft_length: DraftLength,
}

/// What suits blocks of 16 tokens on the absorbing path (measured in `results/steps.md`).
impl Default for SamplerConfig {
    fn default() -> Self {
        Self {
            steps: 8,
            commit: CommitSchedule::LeftToRight,
            sampling: SamplingConfig::default(),
            frequency: FrequencyConfig::default(),
            ..Self::plain()
        }
    }
}

impl SamplerConfig {
    /// Draws from predictions as they are: 16 steps by the schedule `spread`, at temperature 1, from the whole vocabulary and without a penalty.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            process: Process::default(),
            steps: 16,
            solver: SolverConfig::default(),
            schedule: ScheduleConfig::default(),
            grid: GridConfig::default(),
            lower_order_final: true,
            score_temperature: 1.0,
            commit: CommitSchedule::default(),
            pace: Pace::default(),
            extrapolate: false,
            sampling: SamplingConfig::plain(),
            frequency: FrequencyConfig::none(),
            guidance: GuidanceConfig::default(),
            reabsorb: None,
            draft_length: DraftLength::Auto,
        }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`crate::Error::OutOfRange`] naming the first value that is not usable.
    pub fn validate(&self) -> Result<()> {
        require(self.steps >= 1, "steps", self.steps as f64, "at least 1")?;
        let tau = self.score_temperature;
        require(tau > 0.0 && tau.is_finite(), "score_temperature", tau, "above 0")?;
        self.schedule.validate()?;
        self.commit.validate()?;
        self.sampling.validate()?;
        self.frequency.validate()?;
        self.guidance.validate()?;
        self.draft_length.validate()?;
        self.reabsorb.map_or(Ok(()), |reabsorb| reabsorb.validate())
    }

    /// Steps before the first one that may commit a position; the last step always may.
    pub(crate) fn wait(&self) -> usize {
        let last = self.steps - 1;
        match self.process {
            Process::Absorbing => 0,
            Process::Gaussian => last,
            Process::SoftAbsorbing | Process::Hybrid => {
                ((self.guidance.anchor_after * self.steps as f64).ceil() as usize).min(last)
            }
        }
    }

    /// Whether soft positions that stay open move on after evaluation `step` (from 0).
    pub(crate) fn moves(&self, step: usize) -> bool {
        match self.process {
            Process::Absorbing => false,
            Process::Gaussian | Process::SoftAbsorbing => step + 1 < self.steps,
            Process::Hybrid => step < self.wait(),
        }
    }

    /// Highest order of the update that follows evaluation `step` (from 0): there are `steps - 1` updates.
    pub(crate) fn max_order(&self, step: usize) -> usize {
        let updates = self.steps - 1;
        if self.lower_order_final && updates < 10 {
            updates.saturating_sub(step).max(1)
        } else {
            3
        }
    }
}
