//! Drawing a token from logits, in f64: float32 Gumbel noise truncates the tails of large vocabularies and so lowers
//! the temperature unasked (Zheng et al., "Masked Diffusion Models are Secretly Time-Agnostic Masked Models",
//! arXiv 2409.02908).

use serde::{Deserialize, Serialize};

use crate::error::{Result, require};

/// How tokens are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplingConfig {
    /// Logits are divided by this; 0 takes the most probable token.
    pub temperature: f64,
    /// Only the smallest set of most probable tokens with at least this mass takes part, in (0, 1].
    pub top_p: f64,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
        }
    }
}

impl SamplingConfig {
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
/// function. Negative infinity bans a token. `None` when a logit is NaN or positive infinity, or none is finite.
#[must_use]
pub fn draw(logits: &[f32], config: &SamplingConfig, u: f64) -> Option<Draw> {
    let (mut top, mut best, mut second) = (0, f64::NEG_INFINITY, f64::NEG_INFINITY);
    for (token, &logit) in logits.iter().enumerate() {
        let logit = f64::from(logit);
        if logit.is_nan() {
            return None;
        }
        if logit > best {
            (top, second, best) = (token, best, logit);
        } else if logit > second {
            second = logit;
        }
    }
    if !best.is_finite() {
        return None;
    }
    // One pass for the normaliser Z and sum_v w (l - max), which gives the entropy ln Z - (sum w (l - max)) / Z.
    let (mut total, mut slope) = (0.0, 0.0);
    for &logit in logits {
        let x = f64::from(logit) - best;
        let w = x.exp();
        if w > 0.0 {
            total += w;
            slope += w * x;
        }
    }
    let token = if config.temperature == 0.0 {
        top
    } else {
        invert(logits, best, config, u)
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

/// The token at quantile `u` of the tempered, truncated distribution, tokens in order of their ids.
fn invert(logits: &[f32], best: f64, config: &SamplingConfig, u: f64) -> usize {
    let mut weights: Vec<f64> = logits
        .iter()
        .map(|l| ((f64::from(*l) - best) / config.temperature).exp())
        .collect();
    if config.top_p < 1.0 {
        let (weight, token) = nucleus(&weights, config.top_p);
        for (i, w) in weights.iter_mut().enumerate() {
            if *w < weight || (*w == weight && i > token) {
                *w = 0.0;
            }
        }
    }
    let mut left = u * weights.iter().sum::<f64>();
    let mut last = 0;
    for (token, w) in weights.iter().enumerate() {
        if *w > 0.0 {
            last = token;
            if left < *w {
                return token;
            }
            left -= w;
        }
    }
    last
}

/// The least member (weight, token) of the smallest set of largest weights with at least the share `top_p` of the
/// mass; equal weights enter by token id. Expected linear time: quickselect by mass, no sort.
fn nucleus(weights: &[f64], top_p: f64) -> (f64, usize) {
    let mut rest: Vec<(f64, usize)> = weights.iter().copied().enumerate().map(|(i, w)| (w, i)).collect();
    let mut wanted = top_p * weights.iter().sum::<f64>();
    while rest.len() > 1 {
        let half = rest.len() / 2;
        rest.select_nth_unstable_by(half - 1, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mass: f64 = rest[..half].iter().map(|(w, _)| w).sum();
        if mass >= wanted {
            rest.truncate(half);
        } else {
            wanted -= mass;
            rest.drain(..half);
        }
    }
    rest[0]
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
        close(&frequencies(&p, SamplingConfig::default()), &p);
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
    fn the_threshold_search_agrees_with_a_sort() {
        let weights: Vec<f64> = (0..1000).map(|i| (f64::from(i * 7919 % 1009) / 200.0).exp()).collect();
        let mut sorted: Vec<(f64, usize)> = weights.iter().copied().enumerate().map(|(i, w)| (w, i)).collect();
        sorted.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let total: f64 = weights.iter().sum();
        for top_p in [0.01, 0.33, 0.9, 0.999] {
            let mut mass = 0.0;
            let expected = sorted.iter().find(|(w, _)| {
                mass += w;
                mass >= top_p * total
            });
            assert_eq!(Some(&nucleus(&weights, top_p)), expected);
        }
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
        let config = SamplingConfig::default();
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
