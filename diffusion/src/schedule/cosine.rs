use std::f64::consts::FRAC_PI_2;

use serde::{Deserialize, Serialize};

use super::NoiseSchedule;

/// `alpha = cos(pi t / 2)`, the cosine schedule of Nichol and Dhariwal (arXiv 2102.09672, equation 17) without its
/// offset; both ends are exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cosine {}

impl NoiseSchedule for Cosine {
    fn alpha(&self, t: f64) -> f64 {
        (FRAC_PI_2 * t).cos()
    }

    fn alpha_prime(&self, t: f64) -> f64 {
        -FRAC_PI_2 * (FRAC_PI_2 * t).sin()
    }

    fn time_of_alpha(&self, alpha: f64) -> f64 {
        (alpha.clamp(0.0, 1.0).acos() / FRAC_PI_2).clamp(0.0, 1.0)
    }

    fn log_snr(&self, t: f64) -> f64 {
        // The general form loses all digits near t = 0, where alpha^2 rounds to 1.
        -2.0 * (FRAC_PI_2 * t).tan().ln()
    }
}
