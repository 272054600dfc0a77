//! The posterior of a small vocabulary: by enumeration of all texts against the closed form, at any level.

use drdiff_diffusion::{Level, Vp, evidence, evidence_from_latent, posterior};

const V: usize = 4;
const D: usize = 3;
const N: usize = 3;

/// Unit rows, `[V, D]`.
fn table() -> Vec<f64> {
    let raw = [[1.0, 0.2, -0.3], [-0.4, 1.0, 0.5], [0.1, -0.9, 1.0], [-1.0, -0.6, -0.2]];
    raw.iter()
        .flat_map(|r| {
            let norm = r.iter().map(|x| x * x).sum::<f64>().sqrt();
            r.map(|x| x / norm)
        })
        .collect()
}

fn row(token: usize) -> [f64; D] {
    std::array::from_fn(|i| table()[token * D + i])
}

/// A prior over texts in which the positions depend on each other.
fn log_prior(text: &[usize; N]) -> f64 {
    let unary = [0.3, -0.7, 0.1, 0.9];
    let pair = |a: usize, b: usize| if a == b { -1.1 } else { 0.4 * (a as f64 - b as f64) };
    text.iter().map(|t| unary[*t]).sum::<f64>() + pair(text[0], text[1]) + 1.5 * pair(text[1], text[2])
}

fn texts() -> impl Iterator<Item = [usize; N]> {
    (0..V.pow(N as u32)).map(|i| std::array::from_fn(|p| i / V.pow(p as u32) % V))
}

fn marginals(log_weight: impl Fn(&[usize; N]) -> f64) -> [[f64; V]; N] {
    let mut out = [[0.0; V]; N];
    let mut total = 0.0;
    for text in texts() {
        let weight = log_weight(&text).exp();
        total += weight;
        for (position, token) in text.iter().enumerate() {
            out[position][*token] += weight;
        }
    }
    out.map(|p| p.map(|x| x / total))
}

fn assert_same(a: &[[f64; V]; N], b: &[[f64; V]; N]) {
    for (x, y) in a.iter().flatten().zip(b.iter().flatten()) {
        assert!((x - y).abs() < 1e-12, "{a:?}\n{b:?}");
    }
}

#[test]
fn enumeration_of_gaussian_densities_equals_the_closed_form() {
    // Each position stands at its own level; z is arbitrary, as is the level it is seen at.
    for scale in [0.05, 0.7, 3.0] {
        let snr = [0.4 * scale, 2.0 * scale, 0.9 * scale];
        let z = [[0.3, -0.5, 0.9], [-1.1, 0.2, 0.4], [0.8, 0.1, -0.6]];
        let by_density = marginals(|text| {
            log_prior(text)
                + (0..N)
                    .map(|i| {
                        let vp = Vp::from_snr(snr[i]);
                        let e = row(text[i]);
                        -(0..D).map(|j| (z[i][j] - vp.alpha * e[j]).powi(2)).sum::<f64>() / (2.0 * vp.sigma.powi(2))
                    })
                    .sum::<f64>()
        });
        let mut y = [[0.0; D]; N];
        for i in 0..N {
            evidence_from_latent(&z[i], snr[i], &mut y[i]);
        }
        let by_evidence = marginals(|text| {
            log_prior(text)
                + (0..N)
                    .map(|i| row(text[i]).iter().zip(y[i]).map(|(e, y)| e * y).sum::<f64>())
                    .sum::<f64>()
        });
        assert_same(&by_density, &by_evidence);
    }
}

#[test]
fn equal_evidence_at_another_level_gives_the_same_posterior() {
    let y = [0.7, -0.2, 1.3];
    let reference = posterior(&[0.0; V], &table(), &y);
    for snr in [0.01, 0.1, 1.0, 50.0] {
        // The latent that carries this evidence at this level, judged by its Gaussian density.
        let vp = Vp::from_snr(snr);
        let z = y.map(|y| y * vp.sigma.powi(2) / vp.alpha);
        let density: Vec<f64> = (0..V)
            .map(|v| {
                (-row(v)
                    .iter()
                    .zip(z)
                    .map(|(e, z)| (z - vp.alpha * e).powi(2))
                    .sum::<f64>()
                    / (2.0 * vp.sigma.powi(2)))
                .exp()
            })
            .collect();
        let total: f64 = density.iter().sum();
        for (a, b) in reference.iter().zip(density) {
            assert!((a - b / total).abs() < 1e-9, "snr {snr}");
        }
    }
}

#[test]
fn zero_is_the_mask_and_infinity_the_clean_token() {
    let prior = [0.1_f64, 0.2, 0.3, 0.4].map(f64::ln);
    let noise = [0.9, -1.4, 0.3];
    let mut y = [f64::NAN; D];
    evidence(Level::Absorbed, &row(2), &noise, &mut y);
    assert_eq!(y, [0.0; D]);
    let p = posterior(&prior, &table(), &y);
    assert!(
        p.iter().zip([0.1, 0.2, 0.3, 0.4]).all(|(a, b)| (a - b).abs() < 1e-15),
        "the mask says nothing"
    );

    evidence(Level::Soft(1e4), &row(2), &noise, &mut y);
    assert!(
        posterior(&prior, &table(), &y)[2] > 1.0 - 1e-12,
        "much evidence names the token"
    );
    evidence(Level::Anchor, &row(2), &noise, &mut y);
    assert_eq!(y, row(2));

    evidence(Level::Soft(0.25), &row(1), &noise, &mut y);
    let expected: [f64; D] = std::array::from_fn(|j| 0.25 * row(1)[j] + 0.5 * noise[j]);
    assert_eq!(y, expected);
}
