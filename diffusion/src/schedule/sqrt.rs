use serde::{Deserialize, Serialize};

use super::NoiseSchedule;
use crate::error::{Result, require};

/// `alpha^2 = 1 - sqrt(t + offset (1 - t))`, the square-root schedule of Diffusion-LM (arXiv 2205.14217),
/// stretched so that alpha(1) is exactly 0 instead of the root of a small negative number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sqrt {
    /// Noise present at t = 0: the initial standard deviation is `offset^(1/4)`. Diffusion-LM uses 1e-4.
    pub offset: f64,
}

impl Default for Sqrt {
    fn default() -> Self {
        Self { offset: 1e-4 }
    }
}

impl Sqrt {
    pub(super) fn validate(&self) -> Result<()> {
        require(
            self.offset > 0.0 && self.offset < 1.0,
            "schedule.offset",
            self.offset,
            "above 0 and below 1",
        )
    }

    fn shifted(&self, t: f64) -> f64 {
        t + self.offset * (1.0 - t)
    }
}

impl NoiseSchedule for Sqrt {
    fn alpha(&self, t: f64) -> f64 {
        (1.0 - self.shifted(t).sqrt()).max(0.0).sqrt()
    }

    fn alpha_prime(&self, t: f64) -> f64 {
        -(1.0 - self.offset) / (4.0 * self.shifted(t).sqrt() * self.alpha(t))
    }

    fn time_of_alpha(&self, alpha: f64) -> f64 {
        let shifted = (1.0 - alpha * alpha).powi(2);
        ((shifted - self.offset) / (1.0 - self.offset)).clamp(0.0, 1.0)
    }

    fn log_snr(&self, t: f64) -> f64 {
        let noise = self.shifted(t).sqrt();
        ((1.0 - noise).max(0.0) / noise).ln()
    }
}
