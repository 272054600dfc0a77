//! The state of one position: evidence `y`, its latent `z`, and what they say about the token.
//!
//! With unit embeddings `e(x)` the evidence at signal-to-noise ratio `s` is `y = s e(x) + sqrt(s) n`, `n ~ N(0, I)`.
//! Its log-likelihood is `<y, e(x)> - s/2 + const`, so with rows of equal norm the posterior over whole texts,
//! `p(x | y) prop. to p(x) prod_i exp <y_i, e(x_i)>`, does not depend on the levels. In the variance-preserving
//! notation of Kingma et al. (VDM, arXiv 2107.00630) `z = alpha e + sigma n` and `y = (alpha / sigma^2) z`.

use crate::level::Level;

/// Variance-preserving coefficients of a level: `alpha^2 + sigma^2 = 1`, `lambda = ln(alpha / sigma) = 1/2 ln s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vp {
    /// Signal scale in `[0, 1]`.
    pub alpha: f64,
    /// Noise scale in `[0, 1]`.
    pub sigma: f64,
    /// Half log signal-to-noise ratio, the time variable of DPM-Solver (arXiv 2206.00927); infinite at the ends.
    pub lambda: f64,
}

impl Vp {
    /// Coefficients at half log-SNR `lambda`, exact in both tails.
    #[must_use]
    pub fn from_lambda(lambda: f64) -> Self {
        let alpha = (1.0 + (-2.0 * lambda).exp()).sqrt().recip();
        let sigma = (1.0 + (2.0 * lambda).exp()).sqrt().recip();
        Self { alpha, sigma, lambda }
    }

    /// Coefficients at signal-to-noise ratio `snr` in `[0, infinity]`.
    #[must_use]
    pub fn from_snr(snr: f64) -> Self {
        Self::from_lambda(0.5 * snr.ln())
    }

    /// Signal-to-noise ratio `(alpha / sigma)^2`.
    #[must_use]
    pub fn snr(self) -> f64 {
        (2.0 * self.lambda).exp()
    }
}

/// Writes the state of a position into `out` (length `d`): its evidence `y = s e + sqrt(s) n` when soft, zeros when
/// absorbed, and the clean embedding itself when an anchor (whose evidence is infinite; the level tells them apart).
///
/// `embedding` is the unit row of the true token and `noise` a standard normal vector, both of length `d`.
pub fn evidence(level: Level, embedding: &[f64], noise: &[f64], out: &mut [f64]) {
    debug_assert!(embedding.len() == out.len() && noise.len() == out.len());
    match level {
        Level::Absorbed => out.fill(0.0),
        Level::Anchor => out.copy_from_slice(embedding),
        Level::Soft(s) => {
            let root = s.sqrt();
            for ((y, e), n) in out.iter_mut().zip(embedding).zip(noise) {
                *y = s * e + root * n;
            }
        }
    }
}

/// `alpha / sigma^2 = sqrt(s (1 + s))`, the factor between a latent and its evidence. Infinite for an anchor.
#[must_use]
pub fn evidence_scale(snr: f64) -> f64 {
    snr.sqrt() * (1.0 + snr).sqrt()
}

/// Evidence `y = (alpha / sigma^2) z` of a latent at signal-to-noise ratio `snr` (finite).
pub fn evidence_from_latent(latent: &[f64], snr: f64, out: &mut [f64]) {
    let scale = evidence_scale(snr);
    for (y, z) in out.iter_mut().zip(latent) {
        *y = scale * z;
    }
}

/// Latent `z = y / (alpha / sigma^2)` of evidence at signal-to-noise ratio `snr` (finite, above 0: at 0 the evidence
/// is gone and the latent is pure noise).
pub fn latent_from_evidence(evidence: &[f64], snr: f64, out: &mut [f64]) {
    let scale = evidence_scale(snr);
    for (z, y) in out.iter_mut().zip(evidence) {
        *z = y / scale;
    }
}

/// Posterior of one token under an independent prior, `p(v | y) prop. to prior(v) exp <y, e(v)>`.
///
/// `log_prior` has length `V` (any additive constant), `table` is `[V, d]` row-major with unit rows, `evidence` has
/// length `d`. Returns `V` probabilities.
#[must_use]
pub fn posterior(log_prior: &[f64], table: &[f64], evidence: &[f64]) -> Vec<f64> {
    let d = evidence.len();
    let logits: Vec<f64> = log_prior
        .iter()
        .zip(table.chunks_exact(d))
        .map(|(prior, row)| prior + row.iter().zip(evidence).map(|(e, y)| e * y).sum::<f64>())
        .collect();
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.iter().map(|l| (l - top).exp()).sum();
    logits.iter().map(|l| (l - top).exp() / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_are_variance_preserving_and_exact_at_the_ends() {
        for snr in [1e-12, 0.3, 1.0, 17.0, 1e12] {
            let vp = Vp::from_snr(snr);
            assert!((vp.alpha.powi(2) - snr / (1.0 + snr)).abs() < 1e-14);
            assert!((vp.sigma.powi(2) - 1.0 / (1.0 + snr)).abs() < 1e-14);
            assert!((vp.alpha / vp.sigma.powi(2) / evidence_scale(snr) - 1.0).abs() < 1e-12);
            assert!((vp.snr() / snr - 1.0).abs() < 1e-12);
        }
        let mask = Vp::from_snr(0.0);
        assert_eq!((mask.alpha, mask.sigma, mask.lambda), (0.0, 1.0, f64::NEG_INFINITY));
        let anchor = Vp::from_snr(f64::INFINITY);
        assert_eq!((anchor.alpha, anchor.sigma, anchor.lambda), (1.0, 0.0, f64::INFINITY));
    }

    #[test]
    fn latent_and_evidence_round_trip() {
        let z = [0.3, -1.2, 2.0];
        let (mut y, mut back) = ([0.0; 3], [0.0; 3]);
        evidence_from_latent(&z, 2.5, &mut y);
        latent_from_evidence(&y, 2.5, &mut back);
        assert!(z.iter().zip(back).all(|(a, b)| (a - b).abs() < 1e-14));
    }
}
