//! Classifier-free guidance on the prompt (Ho and Salimans, arXiv 2207.12598): what the prompt changes about a prediction is
//! made stronger or weaker.

use crate::denoiser::Prediction;
use crate::error::{Result, require_len};

/// Replaces a prediction that saw the prompt by the guided one, `p ~ without^(1 - w) with^w`, and its data prediction by
/// `x_u + w (x_c - x_u)`. A weight of 1 leaves it as it is, 0 forgets the prompt, more than 1 follows it more closely.
/// Rows are `vocabulary` long; a token that is banned with the prompt stays banned.
///
/// # Errors
/// [`crate::Error::Shape`] when the two are not of one size.
pub fn guide(with: &mut Prediction, without: &Prediction, vocabulary: usize, weight: f64) -> Result<()> {
    require_len("logits without the prompt", without.logits.len(), with.logits.len())?;
    require_len(
        "data prediction without the prompt",
        without.data.len(),
        with.data.len(),
    )?;
    if weight == 1.0 {
        return Ok(());
    }
    let rows = with.logits.chunks_mut(vocabulary.max(1));
    for (with, without) in rows.zip(without.logits.chunks(vocabulary.max(1))) {
        // Each side is normalised first, so that the rows stay comparable from step to step.
        let (sum_with, sum_without) = (log_sum_exp(with), log_sum_exp(without));
        for (c, u) in with.iter_mut().zip(without) {
            if c.is_finite() && u.is_finite() {
                let (log_c, log_u) = (f64::from(*c) - sum_with, f64::from(*u) - sum_without);
                *c = (log_u + weight * (log_c - log_u)) as f32;
            }
        }
    }
    for (c, u) in with.data.iter_mut().zip(&without.data) {
        *c = u + weight * (*c - u);
    }
    Ok(())
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let top = if top.is_finite() { f64::from(top) } else { 0.0 };
    top + logits
        .iter()
        .map(|logit| (f64::from(*logit) - top).exp())
        .sum::<f64>()
        .ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prediction(p: &[f64], data: &[f64]) -> Prediction {
        Prediction {
            // Any constant may be added to logits.
            logits: p.iter().map(|p| (p.ln() + 3.0) as f32).collect(),
            data: data.to_vec(),
        }
    }

    fn probabilities(logits: &[f32]) -> Vec<f64> {
        let total: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
        logits.iter().map(|l| f64::from(*l).exp() / total).collect()
    }

    #[test]
    fn the_guided_distribution_is_the_geometric_mixture() {
        let (with, without) = ([0.5, 0.3, 0.2], [0.2, 0.2, 0.6]);
        for weight in [0.0, 0.5, 2.0, 4.0] {
            let mut guided = prediction(&with, &[1.0, -1.0]);
            guide(&mut guided, &prediction(&without, &[0.5, 0.0]), 3, weight).unwrap();
            let closed: Vec<f64> = with
                .iter()
                .zip(without)
                .map(|(c, u)| c.powf(weight) * u.powf(1.0 - weight))
                .collect();
            let total: f64 = closed.iter().sum();
            for (found, closed) in probabilities(&guided.logits).iter().zip(closed) {
                assert!((found - closed / total).abs() < 1e-6, "{weight}");
            }
            assert_eq!(guided.data, [0.5 + 0.5 * weight, -weight]);
        }
    }

    #[test]
    fn a_weight_of_one_changes_no_bit() {
        let with = prediction(&[0.5, 0.3, 0.2], &[0.1]);
        let mut guided = with.clone();
        guide(&mut guided, &prediction(&[0.1, 0.1, 0.8], &[0.7]), 3, 1.0).unwrap();
        assert_eq!(guided, with);
    }

    #[test]
    fn banned_tokens_stay_banned_and_sizes_must_agree() {
        let mut with = prediction(&[0.5, 0.5, 0.0], &[]);
        guide(&mut with, &prediction(&[0.9, 0.0, 0.1], &[]), 3, 3.0).unwrap();
        assert_eq!(with.logits[2], f32::NEG_INFINITY);
        assert!(with.logits[1].is_finite());
        assert!(guide(&mut with, &prediction(&[1.0], &[]), 3, 2.0).is_err());
    }
}
