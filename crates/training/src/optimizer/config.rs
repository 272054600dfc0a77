//! Which optimiser moves what, how far and when.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::range::Range;

/// Muon (Jordan et al., 2024) for the matrices inside the blocks: the maps of attention and feed-forward, each of the
/// fused ones by itself. Scaled so that AdamW's learning rate and decay carry over (Moonlight, arXiv 2502.16982).
/// Embeddings, gains, biases and the maps into and out of the network stay with AdamW.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MuonConfig {
    /// Learning rate of these matrices as a multiple of `learning_rate`, above 0.
    pub rate: f64,
    /// Decay of Nesterov's momentum, in [0, 1).
    pub momentum: f64,
}

impl Default for MuonConfig {
    fn default() -> Self {
        Self {
            rate: 1.0,
            momentum: 0.95,
        }
    }
}

/// AdamW (Loshchilov and Hutter, arXiv 1711.05101), with Muon beside it if it is switched on; warm-up, a constant
/// stretch and a linear decay. A `decay_share` of 0 never falls: the leg of a
/// longer run, which goes on with more `steps` and a share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// Highest learning rate, at least 0.
    pub learning_rate: f64,
    /// Learning rate at the end as a share of the highest, in `[0, 1]`.
    pub final_share: f64,
    /// Steps of linear warm-up.
    pub warmup: u64,
    /// Share of the run, at its end, in which the rate falls; 0 for none.
    pub decay_share: f64,
    /// Decay of the first moment, in `[0, 1)`.
    pub beta1: f64,
    /// Decay of the second moment, in `[0, 1)`.
    pub beta2: f64,
    /// Added to the root of the second moment, at least 0.
    pub eps: f64,
    /// Decoupled weight decay, of matrices only, at least 0.
    pub weight_decay: f64,
    /// Largest norm of the whole gradient, above 0; one that no gradient reaches, such as 1e9, switches clipping off.
    pub clip: f64,
    /// Decay of the moving average of the weights that is kept for generation, in `[0, 1)`; 0 keeps the weights themselves.
    pub ema: f64,
    /// Muon for the matrices inside the blocks; without it AdamW moves everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muon: Option<MuonConfig>,
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

    /// Checks what would otherwise train wrongly in silence.
    ///
    /// # Errors
    /// Names the first setting that makes no sense.
    pub fn validate(&self) -> Result<()> {
        // Every number, so that one that is added cannot be forgotten.
        let Self {
            learning_rate,
            final_share,
            warmup: _,
            decay_share,
            beta1,
            beta2,
            eps,
            weight_decay,
            clip,
            ema,
            muon,
        } = *self;
        Range::NotNegative.check_all([
            ("optimizer.learning_rate", learning_rate),
            ("optimizer.eps", eps),
            ("optimizer.weight_decay", weight_decay),
        ])?;
        Range::Share.check_all([
            ("optimizer.final_share", final_share),
            ("optimizer.decay_share", decay_share),
        ])?;
        Range::Part.check_all([
            ("optimizer.beta1", beta1),
            ("optimizer.beta2", beta2),
            ("optimizer.ema", ema),
        ])?;
        Range::Clip.check("optimizer.clip", clip)?;
        if let Some(MuonConfig { rate, momentum }) = muon {
            Range::Part.check("optimizer.muon.momentum", momentum)?;
            Range::Positive.check("optimizer.muon.rate", rate)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(decay_share: f64) -> OptimizerConfig {
        OptimizerConfig {
            learning_rate: 1.0,
            warmup: 10,
            decay_share,
            final_share: 0.1,
            ..Default::default()
        }
    }

    #[test]
    fn the_rate_warms_up_stays_and_falls() {
        let o = schedule(0.5);
        assert!((o.rate(0, 100) - 0.1).abs() < 1e-12);
        assert!((o.rate(30, 100) - 1.0).abs() < 1e-12);
        assert!((o.rate(75, 100) - 0.55).abs() < 1e-12);
        assert!((o.rate(100, 100) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn without_a_decay_the_rate_stays_to_the_last_step() {
        let o = schedule(0.0);
        assert!((10..100).all(|step| o.rate(step, 100) == 1.0));
        // The second leg takes up where the first ended, and falls at its own end.
        let o = schedule(0.25);
        assert_eq!(o.rate(100, 200), 1.0);
        assert!(o.rate(199, 200) < 0.2);
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let muon = |momentum, rate| OptimizerConfig {
            muon: Some(MuonConfig { rate, momentum }),
            ..Default::default()
        };
        assert!(muon(0.95, 1.0).validate().is_ok());
        let message = |config: OptimizerConfig| config.validate().unwrap_err().to_string();
        assert!(message(muon(1.0, 1.0)).contains("muon.momentum"));
        assert!(message(muon(0.9, 0.0)).contains("muon.rate"));
        assert!(message(schedule(1.5)).contains("decay_share"));
        type Field = fn(&mut OptimizerConfig) -> &mut f64;
        let keys: [(&str, Field); 9] = [
            ("learning_rate", |o| &mut o.learning_rate),
            ("final_share", |o| &mut o.final_share),
            ("decay_share", |o| &mut o.decay_share),
            ("beta1", |o| &mut o.beta1),
            ("beta2", |o| &mut o.beta2),
            ("eps", |o| &mut o.eps),
            ("weight_decay", |o| &mut o.weight_decay),
            ("clip", |o| &mut o.clip),
            ("ema", |o| &mut o.ema),
        ];
        for (key, number) in keys {
            for wrong in [-1e-3, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let mut config = OptimizerConfig::default();
                *number(&mut config) = wrong;
                let message = message(config);
                assert!(
                    message.contains(&format!("`optimizer.{key}` is ")),
                    "{key} {wrong}: {message}"
                );
            }
        }
    }
}
