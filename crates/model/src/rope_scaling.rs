//! Rotary frequencies of networks that were trained to read longer texts than they began with.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How rotary frequencies are stretched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RopeScaling {
    /// All frequencies are divided by one factor (Chen et al., arXiv 2306.15595).
    Linear {
        /// At least 1.
        factor: f64,
    },
    /// Slow frequencies are divided by a factor, fast ones stay, and those between are mixed, as Llama 3.1 does it.
    Llama3 {
        /// At least 1.
        factor: f64,
        /// Frequencies that turn fewer times than this within the original context are slow.
        low_freq_factor: f64,
        /// Frequencies that turn more often than this within the original context are fast.
        high_freq_factor: f64,
        /// Positions that the network was first trained on.
        original_context: f64,
    },
    /// Each frequency is divided by a number of its own, `head_dim / 2` of them.
    Factors(Vec<f64>),
}

impl RopeScaling {
    /// Checks the numbers for heads of `head_dim`.
    ///
    /// # Errors
    /// If a factor is no finite number above 0, the bounds of Llama 3 are out of order, or there is not one factor for each
    /// frequency.
    pub(crate) fn validate(&self, head_dim: usize) -> Result<()> {
        let positive = |x: &f64| x.is_finite() && *x > 0.0;
        let fits = match self {
            Self::Linear { factor } => positive(factor),
            Self::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_context,
            } => [factor, low, high, original_context].into_iter().all(positive) && low < high,
            Self::Factors(factors) => factors.len() == head_dim / 2 && factors.iter().all(positive),
        };
        match fits {
            true => Ok(()),
            false => Err(Error::Config(format!(
                "the stretching of positions is not possible for heads of {head_dim} ({self:?})"
            ))),
        }
    }

    /// Stretches the frequencies of a head.
    pub(crate) fn apply(&self, frequencies: &mut [f64]) {
        match self {
            Self::Linear { factor } => frequencies.iter_mut().for_each(|f| *f /= factor),
            Self::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_context,
            } => {
                for frequency in frequencies {
                    let turns = original_context * *frequency / TAU;
                    let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                    *frequency *= kept + (1.0 - kept) / factor;
                }
            }
            Self::Factors(factors) => frequencies.iter_mut().zip(factors).for_each(|(f, factor)| *f /= factor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_frequencies_stay_and_slow_ones_are_stretched() {
        let llama = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 8192.0,
        };
        // 1303.8 and 0.2 turns within the original context, and 2.5, which is half way between.
        let mut frequencies = [1.0, 0.000_15, 2.5 * TAU / 8192.0];
        let before = frequencies;
        llama.apply(&mut frequencies);
        assert_eq!(frequencies[0], before[0]);
        assert!((frequencies[1] * 8.0 / before[1] - 1.0).abs() < 1e-12);
        assert!((frequencies[2] / before[2] - (0.5 + 0.5 / 8.0)).abs() < 1e-12);
        let mut two = [3.0, 1.0];
        RopeScaling::Linear { factor: 2.0 }.apply(&mut two);
        RopeScaling::Factors(vec![1.0, 4.0]).apply(&mut two);
        assert_eq!(two, [1.5, 0.125]);
    }

    #[test]
    fn impossible_numbers_are_refused() {
        for scaling in [
            RopeScaling::Linear { factor: 0.0 },
            RopeScaling::Linear { factor: f64::NAN },
            RopeScaling::Factors(vec![1.0]),
            RopeScaling::Llama3 {
                factor: 8.0,
                low_freq_factor: 4.0,
                high_freq_factor: 4.0,
                original_context: 8192.0,
            },
        ] {
            let told = scaling.validate(4).unwrap_err().to_string();
            assert!(told.contains("not possible for heads of 4"), "{told}");
        }
    }
}
