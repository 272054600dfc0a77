use serde::{Deserialize, Serialize};

use super::NoiseSchedule;
use crate::error::{Error, Result, require};

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

    /// Least-squares fit of (mu, beta, entropy) to `pairs` of (gamma, cross-entropy in nats) by Levenberg-Marquardt
    /// steps over (mu, ln beta, ln entropy), starting from `self`; the cut-off is kept.
    ///
    /// # Errors
    /// [`Error::TooFewPairs`] with fewer than three usable pairs, [`Error::FitDiverged`] when the optimum lies outside
    /// of every usable schedule (for instance when the pairs do not rise with gamma).
    pub fn fit(&self, pairs: &[(f64, f64)]) -> Result<Self> {
        let usable: Vec<_> = pairs
            .iter()
            .copied()
            .filter(|(g, ce)| g.is_finite() && ce.is_finite())
            .collect();
        let spread = usable.iter().any(|p| p.0 != usable[0].0);
        if usable.len() < 3 || !spread {
            return Err(Error::TooFewPairs(usable.len()));
        }
        let mut at = [self.mu, self.beta.ln(), self.entropy.ln()];
        let mut error = self.with(at).squared_error(&usable);
        let mut damping = 1e-3;
        for _ in 0..200 {
            let (normal, gradient) = self.with(at).normal_equations(&usable);
            let step = solve3(&normal, &gradient, damping);
            let next = [at[0] + step[0], at[1] + step[1], at[2] + step[2]];
            let next_error = self.with(next).squared_error(&usable);
            if next_error < error {
                let gain = error - next_error;
                (at, error, damping) = (next, next_error, (damping * 0.3).max(1e-12));
                if gain <= 1e-15 * error {
                    break;
                }
            } else {
                damping *= 4.0;
                if damping > 1e12 {
                    break;
                }
            }
        }
        let fitted = self.with(at);
        let usable_range = fitted.validate().is_ok() && (0.05..20.0).contains(&fitted.beta) && fitted.mu.abs() < 40.0;
        if !usable_range {
            return Err(Error::FitDiverged {
                mu: fitted.mu,
                beta: fitted.beta,
                entropy: fitted.entropy,
            });
        }
        Ok(fitted)
    }

    fn with(&self, at: [f64; 3]) -> Self {
        Self {
            mu: at[0],
            beta: at[1].exp(),
            entropy: at[2].exp(),
            cutoff: self.cutoff,
        }
    }

    fn squared_error(&self, pairs: &[(f64, f64)]) -> f64 {
        pairs
            .iter()
            .map(|&(gamma, ce)| (ce - self.expected_loss(gamma)).powi(2))
            .sum()
    }

    /// `J^T J` and `J^T r` of the residuals `r = CE - expected` over (mu, ln beta, ln entropy).
    fn normal_equations(&self, pairs: &[(f64, f64)]) -> ([[f64; 3]; 3], [f64; 3]) {
        let (mut normal, mut gradient) = ([[0.0; 3]; 3], [0.0; 3]);
        for &(gamma, ce) in pairs {
            let x = (gamma - self.mu) / self.beta;
            let value = self.expected_loss(gamma);
            let slope = value * (-x).exp();
            // Where the double exponential underflows its slope is 0, not 0 times infinity.
            let slope = if slope.is_finite() { slope } else { 0.0 };
            let row = [-slope / self.beta, -slope * x, value];
            for i in 0..3 {
                gradient[i] += row[i] * (ce - value);
                for j in 0..3 {
                    normal[i][j] += row[i] * row[j];
                }
            }
        }
        (normal, gradient)
    }
}

/// Solves `(A + damping diag(A)) x = b` for a positive semi-definite 3 x 3 matrix by Cramer's rule.
fn solve3(a: &[[f64; 3]; 3], b: &[f64; 3], damping: f64) -> [f64; 3] {
    let mut m = *a;
    for (i, row) in m.iter_mut().enumerate() {
        row[i] += damping * row[i] + 1e-12;
    }
    let determinant = |m: &[[f64; 3]; 3]| {
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    };
    let whole = determinant(&m);
    std::array::from_fn(|column| {
        let mut replaced = m;
        for (row, value) in replaced.iter_mut().zip(b) {
            row[column] = *value;
        }
        determinant(&replaced) / whole
    })
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

    fn curve(truth: &Gumbel, wobble: f64) -> Vec<(f64, f64)> {
        (0..200)
            .map(|i| {
                let gamma = -6.0 + 0.07 * f64::from(i);
                (gamma, truth.expected_loss(gamma) + wobble * (f64::from(i) * 1.7).sin())
            })
            .collect()
    }

    #[test]
    fn the_fit_recovers_the_curve_it_was_drawn_from() {
        let truth = Gumbel {
            mu: -0.4,
            beta: 1.6,
            entropy: 7.3,
            cutoff: 1e-5,
        };
        let exact = Gumbel::default().fit(&curve(&truth, 0.0)).unwrap();
        assert!((exact.mu - truth.mu).abs() < 1e-6, "{exact:?}");
        assert!((exact.beta - truth.beta).abs() < 1e-6);
        assert!((exact.entropy - truth.entropy).abs() < 1e-6);
        let noisy = Gumbel::default().fit(&curve(&truth, 0.2)).unwrap();
        assert!(
            (noisy.mu - truth.mu).abs() < 0.1 && (noisy.entropy - truth.entropy).abs() < 0.1,
            "{noisy:?}"
        );
    }

    #[test]
    fn a_fit_without_information_is_refused() {
        assert_eq!(
            Gumbel::default().fit(&[(0.0, 1.0), (1.0, 2.0)]),
            Err(Error::TooFewPairs(2))
        );
        assert_eq!(Gumbel::default().fit(&[(1.0, 1.0); 5]), Err(Error::TooFewPairs(5)));
    }

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
