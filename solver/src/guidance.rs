//! Soft absorption guidance ("semantic anchors"): sure positions run ahead and steer the rest.
//!
//! Our reading of DrDiff (arXiv 2509.02785), whose text on it is not public: a soft version of the clamping of
//! Diffusion-LM (arXiv 2205.14217, the clamping trick), with levels of its own for every position.

use serde::{Deserialize, Serialize};

use crate::error::{Result, require};

/// Strength of guidance on the soft absorbing path.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuidanceConfig {
    /// Largest pull of a data prediction toward its top-1 embedding, in [0, 1]; 0 turns the pull off.
    pub kappa: f64,
    /// A position is sure when its top-1 probability is above this, in [0, 1].
    pub gate: f64,
    /// How much faster a sure position moves along its path: its progress per step grows by this factor, 0 or more.
    pub boost: f64,
    /// Share of the steps before the first position may become an anchor, in [0, 1]; on the hybrid path, before levels stay as they are.
    pub anchor_after: f64,
}

impl Default for GuidanceConfig {
    /// Neither pull nor advance: no gain was seen in either. A first quarter of soft steps reads better than a half (`results/steps.md`).
    fn default() -> Self {
        Self {
            kappa: 0.0,
            gate: 0.9,
            boost: 0.0,
            anchor_after: 0.25,
        }
    }
}

impl GuidanceConfig {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`crate::Error::OutOfRange`].
    pub fn validate(&self) -> Result<()> {
        let unit = |name, value: f64| require((0.0..=1.0).contains(&value), name, value, "between 0 and 1");
        unit("guidance kappa", self.kappa)?;
        unit("guidance gate", self.gate)?;
        unit("guidance anchor_after", self.anchor_after)?;
        require(
            self.boost >= 0.0 && self.boost.is_finite(),
            "guidance boost",
            self.boost,
            "0 or more",
        )
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.kappa > 0.0 || self.boost > 0.0
    }

    /// Whether a position with this top-1 probability is sure.
    #[must_use]
    pub fn is_sure(&self, top_probability: f64) -> bool {
        top_probability > self.gate
    }

    /// Pulls a data prediction, `[d]`, toward the embedding of its top-1 token by `kappa (1 - t)^2` when sure; `time`
    /// runs from 1 (noise) to 0, so the pull comes late, where clamping does no harm.
    pub fn pull(&self, data: &mut [f64], top_row: &[f32], top_probability: f64, time: f64) {
        if self.is_sure(top_probability) {
            let kappa = self.kappa * (1.0 - time).powi(2);
            for (x, e) in data.iter_mut().zip(top_row) {
                *x += kappa * (f64::from(*e) - *x);
            }
        }
    }

    /// Progress along the path, in `[0, 1]`, after a step: from `progress`, `base` of the steps being done after it.
    /// A sure position gains `1 + boost` steps instead of one; no position falls behind the others.
    #[must_use]
    pub fn advance(&self, progress: f64, base: f64, step: f64, sure: bool) -> f64 {
        let gain = if sure { step * (1.0 + self.boost) } else { step };
        (progress + gain).max(base).min(1.0)
    }
}

/// Opening committed positions again that were committed with little confidence, so that later context can correct
/// them (ReMDM, arXiv 2503.00307, the confidence variant). Each position is opened at most once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReabsorbConfig {
    /// Only positions whose token had a probability below this when committed, in [0, 1].
    pub below: f64,
    /// At most so many in a step.
    pub per_step: usize,
}

impl Default for ReabsorbConfig {
    fn default() -> Self {
        Self {
            below: 0.3,
            per_step: 1,
        }
    }
}

impl ReabsorbConfig {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`crate::Error::OutOfRange`].
    pub fn validate(&self) -> Result<()> {
        require(
            (0.0..=1.0).contains(&self.below),
            "reabsorb below",
            self.below,
            "between 0 and 1",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pull_grows_late_and_only_for_sure_positions() {
        let guidance = GuidanceConfig {
            kappa: 0.5,
            ..GuidanceConfig::default()
        };
        let pulled = |p, t| {
            let mut x = [0.0, 2.0];
            guidance.pull(&mut x, &[1.0, 0.0], p, t);
            x
        };
        assert_eq!(pulled(0.95, 0.0), [0.5, 1.0]);
        assert_eq!(pulled(0.95, 0.5), [0.125, 1.75]);
        assert_eq!(pulled(0.95, 1.0), [0.0, 2.0]);
        assert_eq!(pulled(0.9, 0.0), [0.0, 2.0], "the gate itself is not sure");
    }

    #[test]
    fn sure_positions_run_ahead_and_none_falls_behind() {
        let guidance = GuidanceConfig {
            boost: 1.0,
            ..GuidanceConfig::default()
        };
        assert_eq!(guidance.advance(0.25, 0.5, 0.25, false), 0.5);
        assert_eq!(guidance.advance(0.25, 0.5, 0.25, true), 0.75);
        assert_eq!(guidance.advance(0.75, 0.5, 0.25, true), 1.0);
        assert_eq!(guidance.advance(0.0, 0.75, 0.25, false), 0.75);
    }

    #[test]
    fn ranges_are_checked() {
        assert!(
            GuidanceConfig {
                kappa: 1.5,
                ..GuidanceConfig::default()
            }
            .validate()
            .is_err()
        );
        assert!(
            GuidanceConfig {
                boost: -0.1,
                ..GuidanceConfig::default()
            }
            .validate()
            .is_err()
        );
        assert!(
            ReabsorbConfig {
                below: 2.0,
                per_step: 1
            }
            .validate()
            .is_err()
        );
    }
}
