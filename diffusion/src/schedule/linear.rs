use serde::{Deserialize, Serialize};

use super::NoiseSchedule;
use crate::error::{Result, require};

/// Noise rate linear in time, `beta(t) = beta_min + t (beta_max - beta_min)` and `alpha = exp(-1/2 int beta)`: the
/// continuous form (Song et al., arXiv 2011.13456, the VP SDE) of the schedule of DDPM.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Linear {
    /// Noise rate at t = 0.
    pub beta_min: f64,
    /// Noise rate at t = 1.
    pub beta_max: f64,
}

impl Default for Linear {
    fn default() -> Self {
        Self {
            beta_min: 0.1,
            beta_max: 20.0,
        }
    }
}

impl Linear {
    pub(super) fn validate(&self) -> Result<()> {
        require(self.beta_min > 0.0, "schedule.beta_min", self.beta_min, "above 0")?;
        require(
            self.beta_max > self.beta_min && self.beta_max.is_finite(),
            "schedule.beta_max",
            self.beta_max,
            "finite and above beta_min",
        )
    }

    /// `int_0^t beta`, so that `alpha^2 = exp(-integral)`.
    fn integral(&self, t: f64) -> f64 {
        t * self.beta_min + 0.5 * t * t * (self.beta_max - self.beta_min)
    }
}

impl NoiseSchedule for Linear {
    fn alpha(&self, t: f64) -> f64 {
        (-0.5 * self.integral(t)).exp()
    }

    fn alpha_prime(&self, t: f64) -> f64 {
        -0.5 * (self.beta_min + t * (self.beta_max - self.beta_min)) * self.alpha(t)
    }

    fn time_of_alpha(&self, alpha: f64) -> f64 {
        let target = -2.0 * alpha.ln();
        // The root of the quadratic in the form that does not cancel for small targets.
        let spread = self.beta_max - self.beta_min;
        let root = (self.beta_min * self.beta_min + 2.0 * spread * target).sqrt();
        (2.0 * target / (self.beta_min + root)).clamp(0.0, 1.0)
    }

    fn log_snr(&self, t: f64) -> f64 {
        -self.integral(t).exp_m1().ln()
    }
}
