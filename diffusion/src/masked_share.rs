//! How much of a block is masked, and draws that cover their range evenly.

use drdiff_noise::NoiseStream;
use serde::{Deserialize, Serialize};

use crate::error::{Result, require};

/// Distribution of the masked share of a block, in `(0, 1]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum MaskedShare {
    /// Uniform, so that the number of masked positions is uniform over `1..=B`: the only draw under which the
    /// likelihood weight gives an exact bound (MDLM, arXiv 2406.07524; see [`crate::BoundAccumulator`]).
    #[default]
    Uniform,
    /// Bell-shaped: language is local, so nearly empty and nearly full masks teach little (arXiv 2605.13026). The
    /// logit of the share is logistic, `share = sigmoid(logit(centre) + width logit(u))`: centre 0.5 and width 1 is
    /// the uniform draw, smaller widths are narrower bells.
    Bell {
        /// Median share, in (0, 1).
        centre: f64,
        /// Width, above 0.
        width: f64,
    },
    /// Uniform between two shares, which lowers the variance of the gradient (the clipped schedules of BD3-LM,
    /// arXiv 2503.09573).
    Clipped {
        /// Least share, in [0, 1).
        low: f64,
        /// Largest share, in (low, 1].
        high: f64,
    },
}

impl MaskedShare {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`crate::Error::OutOfRange`] naming the first value that is not usable.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Self::Uniform => Ok(()),
            Self::Bell { centre, width } => {
                require(
                    centre > 0.0 && centre < 1.0,
                    "masked_share.centre",
                    centre,
                    "above 0 and below 1",
                )?;
                require(width > 0.0 && width.is_finite(), "masked_share.width", width, "above 0")
            }
            Self::Clipped { low, high } => {
                require(
                    (0.0..1.0).contains(&low),
                    "masked_share.low",
                    low,
                    "at least 0 and below 1",
                )?;
                require(
                    high > low && high <= 1.0,
                    "masked_share.high",
                    high,
                    "above low and at most 1",
                )
            }
        }
    }

    /// The share in `(0, 1]` at a uniform draw `u` in `[0, 1)`; falls with `u`.
    #[must_use]
    pub fn quantile(&self, u: f64) -> f64 {
        let v = 1.0 - u;
        match *self {
            Self::Uniform => v,
            Self::Bell { centre, width } => {
                let logit = (centre / (1.0 - centre)).ln() + width * (v / u).ln();
                1.0 / (1.0 + (-logit).exp())
            }
            Self::Clipped { low, high } => low + (high - low) * v,
        }
    }

    /// Number of masked positions, in `1..=block_size`, of a block of `block_size >= 1` at a uniform draw `u`.
    #[must_use]
    pub fn masked(&self, u: f64, block_size: usize) -> usize {
        ((self.quantile(u) * block_size as f64).ceil() as usize).clamp(1, block_size.max(1))
    }
}

/// `count` uniform draws in `[0, 1)`, one in each of `count` equal strata, in random order: `t_i = (i + u_i) / count`
/// (low-discrepancy sampler of VDM, arXiv 2107.00630; here with a fresh offset for each stratum).
#[must_use]
pub fn stratified(stream: &mut NoiseStream, count: usize) -> Vec<f64> {
    let mut draws: Vec<f64> = (0..count)
        .map(|i| (i as f64 + stream.uniform()) / count as f64)
        .collect();
    stream.shuffle(&mut draws);
    // (i + u) / count can round up to 1 for the last stratum.
    draws.iter().map(|t| t.min(1.0 - f64::EPSILON)).collect()
}

/// A uniformly random subset of `k` of `0..n`, ascending; all of them when `k >= n`.
#[must_use]
pub fn choose(stream: &mut NoiseStream, n: usize, k: usize) -> Vec<usize> {
    let mut items: Vec<usize> = (0..n).collect();
    let k = k.min(n);
    for i in 0..k {
        let other = i + stream.below(n - i);
        items.swap(i, other);
    }
    items.truncate(k);
    items.sort_unstable();
    items
}

#[cfg(test)]
mod tests {
    use drdiff_noise::{Noise, Purpose};

    use super::*;

    fn counts(share: MaskedShare, block: usize, draws: usize) -> Vec<usize> {
        let mut stream = Noise::new(3, 0).stream(Purpose::MaskedShare, 0, 0);
        let mut counts = vec![0; block + 1];
        for u in stratified(&mut stream, draws) {
            counts[share.masked(u, block)] += 1;
        }
        counts
    }

    #[test]
    fn uniform_shares_give_uniform_counts() {
        let counts = counts(MaskedShare::Uniform, 8, 800);
        assert_eq!(counts[0], 0);
        assert!(counts[1..].iter().all(|c| *c == 100), "{counts:?}");
    }

    #[test]
    fn a_bell_favours_its_centre() {
        let bell = MaskedShare::Bell {
            centre: 0.5,
            width: 0.4,
        };
        let counts = counts(bell, 10, 1000);
        assert!(counts[5] > 3 * counts[1] && counts[6] > 3 * counts[10], "{counts:?}");
        let flat = MaskedShare::Bell {
            centre: 0.5,
            width: 1.0,
        };
        assert!((flat.quantile(0.3) - 0.7).abs() < 1e-12);
        assert_eq!(bell.quantile(0.0), 1.0);
    }

    #[test]
    fn clipping_keeps_its_bounds() {
        let clipped = MaskedShare::Clipped { low: 0.3, high: 0.8 };
        let counts = counts(clipped, 10, 1000);
        assert!(
            counts[..4].iter().sum::<usize>() == 0 && counts[9..].iter().sum::<usize>() == 0,
            "{counts:?}"
        );
        assert!(MaskedShare::Clipped { low: 0.9, high: 0.8 }.validate().is_err());
    }

    #[test]
    fn strata_hold_one_draw_each() {
        let mut stream = Noise::new(5, 1).stream(Purpose::Level, 0, 0);
        let draws = stratified(&mut stream, 64);
        let mut sorted = draws.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(sorted.iter().enumerate().all(|(i, t)| (t * 64.0).floor() as usize == i));
        assert_ne!(draws, sorted, "the order is random");
    }

    #[test]
    fn subsets_are_uniform() {
        let mut stream = Noise::new(7, 0).stream(Purpose::Corrupt, 0, 0);
        let mut hits = [0_u32; 6];
        for _ in 0..6000 {
            let subset = choose(&mut stream, 6, 2);
            assert!(subset.len() == 2 && subset[0] < subset[1]);
            subset.iter().for_each(|i| hits[*i] += 1);
        }
        assert!(hits.iter().all(|h| h.abs_diff(2000) < 200), "{hits:?}");
        assert_eq!(choose(&mut stream, 2, 9), [0, 1]);
    }
}
