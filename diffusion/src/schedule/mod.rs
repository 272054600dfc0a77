//! Noise schedules: how much signal is left at time t in [0, 1], where 1 is pure noise.

mod cosine;
mod gumbel;
mod linear;
mod sqrt;

use serde::{Deserialize, Serialize};

pub use cosine::Cosine;
pub use gumbel::Gumbel;
pub use linear::Linear;
pub use sqrt::Sqrt;

use crate::error::Result;

/// A variance-preserving noise schedule, `z = alpha(t) x + sqrt(1 - alpha(t)^2) n`; alpha falls with t.
pub trait NoiseSchedule: Send + Sync {
    /// Signal scale at time `t` in `[0, 1]`.
    fn alpha(&self, t: f64) -> f64;

    /// Derivative of [`NoiseSchedule::alpha`] with respect to `t` (negative).
    fn alpha_prime(&self, t: f64) -> f64;

    /// Inverse of [`NoiseSchedule::alpha`], clamped to `[0, 1]`.
    fn time_of_alpha(&self, alpha: f64) -> f64;

    /// `ln s(t) = ln(alpha^2 / sigma^2) = -gamma(t)`, infinite where the schedule reaches its ends.
    fn log_snr(&self, t: f64) -> f64 {
        let square = self.alpha(t).powi(2);
        (square / (1.0 - square)).ln()
    }

    /// Weight of the squared error of the data prediction in the continuous-time bound of VDM (arXiv 2107.00630),
    /// `-1/2 ds/dt`. Its integral over `[a, b]` is `(s(a) - s(b)) / 2`.
    fn elbo_weight(&self, t: f64) -> f64 {
        let alpha = self.alpha(t);
        -alpha * self.alpha_prime(t) / (1.0 - alpha * alpha).powi(2)
    }
}

/// The schedules that a configuration can name, by `type`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ScheduleConfig {
    /// [`Cosine`].
    Cosine(Cosine),
    /// [`Sqrt`].
    Sqrt(Sqrt),
    /// [`Linear`].
    Linear(Linear),
    /// [`Gumbel`], the default.
    Gumbel(Gumbel),
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self::Gumbel(Gumbel::default())
    }
}

impl ScheduleConfig {
    /// Checks the numbers of the schedule.
    ///
    /// # Errors
    /// [`crate::Error::OutOfRange`] naming the first value that is not usable.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Cosine(_) => Ok(()),
            Self::Sqrt(s) => s.validate(),
            Self::Linear(s) => s.validate(),
            Self::Gumbel(s) => s.validate(),
        }
    }

    fn inner(&self) -> &dyn NoiseSchedule {
        match self {
            Self::Cosine(s) => s,
            Self::Sqrt(s) => s,
            Self::Linear(s) => s,
            Self::Gumbel(s) => s,
        }
    }
}

impl NoiseSchedule for ScheduleConfig {
    fn alpha(&self, t: f64) -> f64 {
        self.inner().alpha(t)
    }

    fn alpha_prime(&self, t: f64) -> f64 {
        self.inner().alpha_prime(t)
    }

    fn time_of_alpha(&self, alpha: f64) -> f64 {
        self.inner().time_of_alpha(alpha)
    }

    fn log_snr(&self, t: f64) -> f64 {
        self.inner().log_snr(t)
    }
}
