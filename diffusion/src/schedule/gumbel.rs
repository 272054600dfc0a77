use serde::{Deserialize, Serialize};

use super::NoiseSchedule;
use crate::error::{Result, require};

/// The learned schedule of LangFlow (arXiv 2604.11748): three scalars and no network. The cross-entropy of a text
/// model against the noise level `gamma = -ln s` looks like a Gumbel distribution function,
/// `CE(gamma) = entropy exp(-exp(-(gamma - mu) / beta))`; drawing `gamma = mu - beta ln(-ln q)` with q uniform then
/// makes the expected loss linear in q, so every stretch of learned time teaches the same amount. Time is
/// `q = cutoff + t (1 - 2 cutoff)`.
///
/// The default suits unit-norm rows and about 8,192 tokens: LangFlow's mode of -1.92 (unit norm, 50,257 tokens) moved
/// by the +0.2 by which the level of unaided decoding moves between the two vocabulary sizes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gumbel {
    /// Location: the gamma at which the loss climbs most steeply.
    pub mu: f64,
    /// Scale in gamma, above 0.
    pub beta: f64,
    /// Loss at full noise, nats: the unigram entropy of the text.
    pub entropy: f64,
    /// Quantile left out at either end, in (0, 0.5).
    pub cutoff: f64,
}

impl Default for Gumbel {
    fn default() -> Self {
        Self {
            mu: -1.7,
            beta: 0.85,
            entropy: 6.6,
            cutoff: 1e-5,
        }
    }
}

impl Gumbel {
    pub(super) fn validate(&self) -> Result<()> {
        require(self.mu.is_finite(), "schedule.mu", self.mu, "finite")?;
        require(
            self.beta > 0.0 && self.beta.is_finite(),
            "schedule.beta",
            self.beta,
            "above 0",
        )?;
        require(
            self.entropy > 0.0 && self.entropy.is_finite(),
            "schedule.entropy",
            self.entropy,
            "above 0",
        )?;
        let cutoff = self.cutoff;
        require(
            cutoff > 0.0 && cutoff < 0.5,
            "schedule.cutoff",
            cutoff,
            "above 0 and below 0.5",
        )
    }

    fn quantile(&self, t: f64) -> f64 {
        self.cutoff + t.clamp(0.0, 1.0) * (1.0 - 2.0 * self.cutoff)
    }

    /// Noise level `gamma = -ln s` at time `t`.
    #[must_use]
    pub fn gamma(&self, t: f64) -> f64 {
        self.mu - self.beta * (-self.quantile(t).ln()).ln()
    }

    /// The cross-entropy, in nats, that the fitted curve expects at noise level `gamma`.
    #[must_use]
    pub fn expected_loss(&self, gamma: f64) -> f64 {
        self.entropy * (-(-(gamma - self.mu) / self.beta).exp()).exp()
    }
}

impl NoiseSchedule for Gumbel {
    fn alpha(&self, t: f64) -> f64 {
        (1.0 + self.gamma(t).exp()).sqrt().recip()
    }

    fn alpha_prime(&self, t: f64) -> f64 {
        let q = self.quantile(t);
        let gamma_prime = (1.0 - 2.0 * self.cutoff) * self.beta / (q * -q.ln());
        let alpha = self.alpha(t);
        -0.5 * alpha * (1.0 - alpha * alpha) * gamma_prime
    }

    fn time_of_alpha(&self, alpha: f64) -> f64 {
        let square = alpha * alpha;
        let gamma = ((1.0 - square) / square).ln();
        let q = (-(-(gamma - self.mu) / self.beta).exp()).exp();
        ((q - self.cutoff) / (1.0 - 2.0 * self.cutoff)).clamp(0.0, 1.0)
    }

    fn log_snr(&self, t: f64) -> f64 {
        -self.gamma(t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_cut_off_where_langflow_says() {
        // The published constants: Gumbel(4.723, 0.852) cut at 1e-5 spans 2.64 to 14.53.
        let published = Gumbel {
            mu: 4.723,
            beta: 0.852,
            entropy: 7.02,
            cutoff: 1e-5,
        };
        assert!((published.gamma(0.0) - 2.64).abs() < 0.005);
        assert!((published.gamma(1.0) - 14.53).abs() < 0.005);
        // Median in effective units (rows of squared norm 768): -1.61.
        assert!((published.gamma(0.5) - 768f64.ln() + 1.61).abs() < 0.005);
    }
}
