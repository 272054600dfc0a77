//! Drawing a token from logits, in f64: float32 Gumbel noise truncates the tails of large vocabularies and so lowers
//! the temperature unasked (Zheng et al., "Masked Diffusion Models are Secretly Time-Agnostic Masked Models",
//! arXiv 2409.02908).

use serde::{Deserialize, Serialize};

use crate::error::{Result, require};
use crate::nucleus::draw_among;

/// How tokens are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplingConfig {
    /// Logits are divided by this; 0 takes the most probable token.
    pub temperature: f64,
    /// Only the smallest set of most probable tokens with at least this mass takes part, in (0, 1].
    pub top_p: f64,
}

/// What suits tokens that share a step.
impl Default for SamplingConfig {
    fn default() -> Self {
        Self {
            temperature: 0.5,
            top_p: 0.95,
        }
    }
}

impl SamplingConfig {
    /// Draws from predictions as they are.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
        }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`crate::Error::OutOfRange`].
    pub fn validate(&self) -> Result<()> {
        let Self { temperature, top_p } = *self;
        require(
            temperature >= 0.0 && temperature.is_finite(),
            "temperature",
            temperature,
            "0 or more",
        )?;
        require(top_p > 0.0 && top_p <= 1.0, "top_p", top_p, "above 0 and at most 1")
    }
}

/// A drawn token and how sure the model was. All but `token` describe the untempered, untruncated distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// The drawn token.
    pub token: u32,
    /// Its probability.
    pub probability: f64,
    /// The most probable token.
    pub top: u32,
    /// Its probability.
    pub top_probability: f64,
    /// Probability of the first minus that of the second token.
    pub margin: f64,
    /// Entropy in nats.
    pub entropy: f64,
}

/// Draws from one row of logits, `[V]`, with the uniform draw `u` in `[0, 1)` by inversion of the distribution
/// function, tokens in order of their ids. Negative infinity bans a token. `None` when a logit is NaN or positive
/// infinity, or none is finite.
///
/// One pass finds the largest logits, one takes every exponential there is to take; what `top_p` cuts off is found
/// without a sort.
#[must_use]
pub fn draw(logits: &[f32], config: &SamplingConfig, u: f64) -> Option<Draw> {
    let Weighed {
        peaks: Peaks { top, best, second },
        sums: Sums { total, slope },
        weights,
        mass,
    } = Weighed::of(logits, config.temperature)?;
    let token = match weights {
        Some(weights) => draw_among(&weights, mass, config.top_p, u),
        None => top,
    };
    Some(Draw {
        token: token as u32,
        probability: (f64::from(logits[token]) - best).exp() / total,
        top: top as u32,
        top_probability: 1.0 / total,
        margin: (1.0 - (second - best).exp()) / total,
        entropy: (total.ln() - slope / total).max(0.0),
    })
}

/// What a row of logits is drawn by, and what is told of it.
pub(crate) struct Weighed {
    pub(crate) peaks: Peaks,
    pub(crate) sums: Sums,
    /// Weights under the temperature, the largest of which is 1, and their sum; none at temperature 0, which takes the first of the peaks.
    pub(crate) weights: Option<Vec<f64>>,
    pub(crate) mass: f64,
}

impl Weighed {
    /// `None` when a logit is NaN or positive infinity, or none is finite.
    pub(crate) fn of(logits: &[f32], temperature: f64) -> Option<Self> {
        let peaks = Peaks::of(logits)?;
        let (mut weights, mut mass) = (Vec::with_capacity(logits.len()), 0.0);
        let mut keep = |weight: f64| {
            weights.push(weight);
            mass += weight;
        };
        let sums = match temperature {
            0.0 => Sums::of(logits, peaks.best, |_, _| {}),
            1.0 => Sums::of(logits, peaks.best, |_, weight| keep(weight)),
            _ => Sums::of(logits, peaks.best, |x, _| keep((x / temperature).exp())),
        };
        Some(Self {
            peaks,
            sums,
            weights: (temperature != 0.0).then_some(weights),
            mass,
        })
    }
}

/// The two largest logits and where the first of them is.
pub(crate) struct Peaks {
    pub(crate) top: usize,
    pub(crate) best: f64,
    second: f64,
}

impl Peaks {
    fn of(logits: &[f32]) -> Option<Self> {
        let (mut top, mut best, mut second) = (0, f32::NEG_INFINITY, f32::NEG_INFINITY);
        let mut broken = false;
        for (token, &logit) in logits.iter().enumerate() {
            broken |= logit.is_nan();
            if logit > best {
                (top, second, best) = (token, best, logit);
            } else if logit > second {
                second = logit;
            }
        }
        (best.is_finite() && !broken).then_some(Self {
            top,
            best: f64::from(best),
            second: f64::from(second),
        })
    }
}

/// What the entropy `ln Z - (sum w x) / Z` is made from, with `x = l - max` and `w = exp(x)`.
pub(crate) struct Sums {
    /// Z, the sum of w.
    pub(crate) total: f64,
    /// The sum of w x.
    slope: f64,
}

impl Sums {
    /// Shows x and w of every token to `each`.
    fn of(logits: &[f32], best: f64, mut each: impl FnMut(f64, f64)) -> Self {
        let (mut total, mut slope) = (0.0, 0.0);
        for &logit in logits {
            let x = f64::from(logit) - best;
            let weight = x.exp();
            if weight > 0.0 {
                total += weight;
                slope += weight * x;
            }
            each(x, weight);
        }
        Self { total, slope }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits(p: &[f64]) -> Vec<f32> {
        p.iter().map(|p| p.ln() as f32).collect()
    }

    fn frequencies(p: &[f64], config: SamplingConfig) -> Vec<f64> {
        let n = 20_000;
        let mut counts = vec![0.0; p.len()];
        for i in 0..n {
            let u = (f64::from(i) + 0.5) / f64::from(n);
            counts[draw(&logits(p), &config, u).unwrap().token as usize] += 1.0 / f64::from(n);
        }
        counts
    }

    fn close(a: &[f64], b: &[f64]) {
        assert!(
            a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-4),
            "{a:?} against {b:?}"
        );
    }

    #[test]
    fn draws_follow_the_distribution() {
        let p = [0.1, 0.45, 0.05, 0.3, 0.1];
        close(&frequencies(&p, SamplingConfig::plain()), &p);
        let squares: Vec<f64> = p.iter().map(|p| p * p).collect();
        let total: f64 = squares.iter().sum();
        let cold = frequencies(
            &p,
            SamplingConfig {
                temperature: 0.5,
                top_p: 1.0,
            },
        );
        close(&cold, &squares.iter().map(|s| s / total).collect::<Vec<_>>());
        close(
            &frequencies(
                &p,
                SamplingConfig {
                    temperature: 0.0,
                    top_p: 1.0,
                },
            ),
            &[0.0, 1.0, 0.0, 0.0, 0.0],
        );
    }

    #[test]
    fn top_p_keeps_the_smallest_sufficient_set() {
        let p = [0.1, 0.45, 0.05, 0.3, 0.1];
        close(
            &frequencies(
                &p,
                SamplingConfig {
                    temperature: 1.0,
                    top_p: 0.7,
                },
            ),
            &[0.0, 0.6, 0.0, 0.4, 0.0],
        );
        // Of two equal tokens the one with the smaller id enters.
        let total = 0.85;
        let kept = [0.1 / total, 0.45 / total, 0.0, 0.3 / total, 0.0];
        close(
            &frequencies(
                &p,
                SamplingConfig {
                    temperature: 1.0,
                    top_p: 0.8,
                },
            ),
            &kept,
        );
        close(
            &frequencies(
                &p,
                SamplingConfig {
                    temperature: 1.0,
                    top_p: 1e-9,
                },
            ),
            &[0.0, 1.0, 0.0, 0.0, 0.0],
        );
    }

    #[test]
    fn statistics_describe_the_untempered_distribution() {
        let p = [0.1, 0.45, 0.05, 0.3, 0.1];
        let d = draw(
            &logits(&p),
            &SamplingConfig {
                temperature: 0.3,
                top_p: 0.5,
            },
            0.9,
        )
        .unwrap();
        let entropy: f64 = p.iter().map(|p| -p * p.ln()).sum();
        assert!((d.entropy - entropy).abs() < 1e-6 && (d.margin - 0.15).abs() < 1e-6);
        assert!(d.top == 1 && (d.top_probability - 0.45).abs() < 1e-6);
        assert!((d.probability - p[d.token as usize]).abs() < 1e-6);
    }

    #[test]
    fn banned_tokens_and_broken_logits() {
        let config = SamplingConfig::plain();
        let only = draw(&[f32::NEG_INFINITY, 2.0, f32::NEG_INFINITY], &config, 0.999).unwrap();
        assert_eq!(
            (only.token, only.probability, only.margin, only.entropy),
            (1, 1.0, 1.0, 0.0)
        );
        assert_eq!(draw(&[0.0, f32::NAN], &config, 0.5), None);
        assert_eq!(draw(&[f32::NEG_INFINITY; 3], &config, 0.5), None);
        assert_eq!(draw(&[f32::INFINITY, 0.0], &config, 0.5), None);
        assert_eq!(draw(&[], &config, 0.5), None);
        assert!(
            SamplingConfig {
                temperature: -1.0,
                top_p: 1.0
            }
            .validate()
            .is_err()
        );
        assert!(
            SamplingConfig {
                temperature: 1.0,
                top_p: 0.0
            }
            .validate()
            .is_err()
        );
    }
}
