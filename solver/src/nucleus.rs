//! The most probable tokens that together have a share of the mass (Holtzman et al., "The curious case of neural text
//! degeneration", arXiv 1904.09751), found without a sort, and the draw among them.

/// Steps of an octave, as a power of two.
const STEPS: u32 = 6;
/// Steps in all: 32 octaves below the largest weight. What is lighter comes into play only for the last few billionths
/// of the mass.
const LADDER: usize = 32 << STEPS;

/// The step that a weight of at most 1 stands on, or [`LADDER`] below all: the first bits of floating-point numbers are a
/// logarithm.
fn step(weight: f64) -> usize {
    let down = 1.0f64.to_bits().saturating_sub(weight.to_bits());
    ((down >> (f64::MANTISSA_DIGITS - 1 - STEPS)) as usize).min(LADDER)
}

/// The token at quantile `u` of the smallest set of largest weights with at least the share `top_p` of `mass`, the sum
/// of all weights, the largest of which is 1; of equal weights those with smaller ids enter first.
pub(crate) fn draw_among(weights: &[f64], mass: f64, top_p: f64, u: f64) -> usize {
    if top_p < 1.0 {
        let kept = nucleus(weights, mass, top_p);
        invert(kept.iter().copied(), kept.iter().map(|(_, weight)| weight).sum(), u)
    } else {
        invert(weights.iter().copied().enumerate(), mass, u)
    }
}

/// The tokens that [`draw_among`] draws from, in order of their ids, with their weights.
pub(crate) fn among(weights: Vec<f64>, mass: f64, top_p: f64) -> Vec<(usize, f64)> {
    if top_p < 1.0 {
        nucleus(&weights, mass, top_p)
    } else {
        weights.into_iter().enumerate().collect()
    }
}

/// The tokens that take part, in order of their ids, with their weights.
///
/// Tokens below `(1 - top_p) mass / V` weigh at most `(1 - top_p) mass` together, so those above have enough, and of a
/// peaked distribution few are above.
fn nucleus(weights: &[f64], mass: f64, top_p: f64) -> Vec<(usize, f64)> {
    // Half, so that rounding cannot lose a token that is needed.
    let floor = 0.5 * (1.0 - top_p) * mass / weights.len() as f64;
    // Written without a branch, which nobody could predict.
    let mut kept = vec![(0, 0.0); weights.len()];
    let mut count = 0;
    for (token, &weight) in weights.iter().enumerate() {
        kept[count] = (token, weight);
        count += usize::from(weight >= floor);
    }
    kept.truncate(count);
    if let Some((last, least)) = least(&kept, top_p * mass) {
        kept.retain(|(token, weight)| *weight > least || (*weight == least && *token <= last));
    }
    kept
}

/// The last token that enters when the heaviest enter first until they have the mass `wanted`: down the ladder as far as
/// whole steps are needed, then by quickselect among the tokens of the step that is needed in part. `None` if all enter.
fn least(tokens: &[(usize, f64)], mut wanted: f64) -> Option<(usize, f64)> {
    let mut ladder = vec![0.0; LADDER + 1];
    for (_, weight) in tokens {
        ladder[step(*weight)] += weight;
    }
    let mut at = 0;
    while at < LADDER && ladder[at] < wanted {
        wanted -= ladder[at];
        at += 1;
    }
    let mut rest: Vec<(usize, f64)> = tokens
        .iter()
        .copied()
        .filter(|(_, weight)| step(*weight) == at)
        .collect();
    while rest.len() > 1 {
        let half = rest.len() / 2;
        rest.select_nth_unstable_by(half - 1, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let mass: f64 = rest[..half].iter().map(|(_, weight)| weight).sum();
        if mass >= wanted {
            rest.truncate(half);
        } else {
            wanted -= mass;
            rest.drain(..half);
        }
    }
    rest.first().copied()
}

/// The token at quantile `u` of `mass`, the sum of these weights.
pub(crate) fn invert(weights: impl Iterator<Item = (usize, f64)>, mass: f64, u: f64) -> usize {
    let mut left = u * mass;
    let mut last = 0;
    for (token, weight) in weights {
        if weight > 0.0 {
            last = token;
            if left < weight {
                return token;
            }
            left -= weight;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SamplingConfig, draw};
    use proptest::prelude::*;

    /// Weights under a temperature, as [`draw`] sees them, none at all where every token is banned.
    fn weigh(logits: &[f32], temperature: f64) -> Vec<f64> {
        let best = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        logits
            .iter()
            .map(|l| ((f64::from(*l) - best) / temperature).exp())
            .collect()
    }

    /// The specification: sort, and take from the front.
    fn sorted(weights: &[f64], top_p: f64) -> Vec<(usize, f64)> {
        let mut all: Vec<(usize, f64)> = weights.iter().copied().enumerate().collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let wanted = top_p * weights.iter().sum::<f64>();
        let mut mass = 0.0;
        let mut count = 0;
        while count < all.len() && (count == 0 || mass < wanted) {
            mass += all[count].1;
            count += 1;
        }
        all.truncate(count);
        all.sort_by_key(|(token, _)| *token);
        all
    }

    /// Logits as they come: smooth, with ties, mostly banned, and over a range where most weights are 0.
    fn logits() -> impl Strategy<Value = Vec<f32>> {
        let one = prop_oneof![
            4 => -8.0..8.0f32,
            2 => (-3..4i32).prop_map(|level| level as f32),
            1 => Just(f32::NEG_INFINITY),
            1 => -2000.0..2000.0f32,
        ];
        let flat = prop::collection::vec(Just(1.5f32), 1..70);
        let ties = prop::collection::vec((-2..2i32).prop_map(|level| level as f32), 1..200);
        let smooth = prop::collection::vec(-4.0..4.0f32, 1..400);
        let extremes = prop::collection::vec(prop_oneof![Just(f32::MAX), Just(f32::MIN), Just(0.0f32)], 1..20);
        prop_oneof![2 => prop::collection::vec(one, 1..300), 1 => flat, 2 => ties, 2 => smooth, 1 => extremes]
    }

    fn top_p() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => 0.001..0.999f64,
            1 => Just(1e-12),
            1 => Just(f64::MIN_POSITIVE),
            1 => Just(1.0 - 1e-12),
            1 => Just(1.0 - f64::EPSILON / 2.0),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn the_nucleus_is_that_of_a_sort(logits in logits(), top_p in top_p(), temperature in 0.05..3.0f64) {
            prop_assume!(logits.iter().any(|l| l.is_finite()));
            let weights = weigh(&logits, temperature);
            let mass = weights.iter().sum::<f64>();
            let (found, wanted) = (nucleus(&weights, weights.iter().sum(), top_p), sorted(&weights, top_p));
            // Sums in another order may disagree about a token whose weight is lost in their rounding.
            let sum = |kept: &[(usize, f64)]| kept.iter().map(|(_, weight)| weight).sum::<f64>();
            if found != wanted {
                let differ = found.len().abs_diff(wanted.len());
                let (more, fewer) = if found.len() > wanted.len() { (&found, &wanted) } else { (&wanted, &found) };
                prop_assert!(fewer.iter().all(|entry| more.contains(entry)), "{found:?} against {wanted:?}");
                let edge = (sum(fewer) - top_p * mass).abs();
                prop_assert!(differ > 0 && edge <= 1e-12 * mass, "{found:?} against {wanted:?}");
            }
            prop_assert!(sum(&found) >= top_p * mass * (1.0 - 1e-12));
        }

        #[test]
        fn draws_invert_the_truncated_distribution(
            logits in logits(), top_p in top_p(), temperature in 0.05..3.0f64, u in 0.0..1.0f64,
        ) {
            prop_assume!(logits.iter().any(|l| l.is_finite()));
            let drawn = draw(&logits, &SamplingConfig { temperature, top_p }, u).unwrap();
            let weights = weigh(&logits, temperature);
            let kept = nucleus(&weights, weights.iter().sum(), top_p);
            let mass: f64 = kept.iter().map(|(_, weight)| weight).sum();
            let before: f64 = kept.iter().filter(|(token, _)| *token < drawn.token as usize).map(|(_, weight)| weight).sum();
            let own = kept.iter().find(|(token, _)| *token == drawn.token as usize);
            let (_, own) = own.expect("a drawn token is in the nucleus");
            prop_assert!(*own > 0.0);
            prop_assert!(before <= (u + 1e-12) * mass && (u - 1e-12) * mass <= before + own);
        }

        #[test]
        fn statistics_are_those_of_plain_sums(logits in logits(), temperature in 0.0..2.0f64, u in 0.0..1.0f64) {
            prop_assume!(logits.iter().any(|l| l.is_finite()));
            let drawn = draw(&logits, &SamplingConfig { temperature, top_p: 0.9 }, u).unwrap();
            let weights = weigh(&logits, 1.0);
            let mass: f64 = weights.iter().sum();
            let mut p: Vec<f64> = weights.iter().map(|w| w / mass).collect();
            let entropy: f64 = p.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
            prop_assert!((drawn.entropy - entropy).abs() < 1e-9);
            prop_assert!((drawn.probability - p[drawn.token as usize]).abs() < 1e-12);
            prop_assert!((drawn.top_probability - p[drawn.top as usize]).abs() < 1e-12);
            p.sort_by(|a, b| b.total_cmp(a));
            prop_assert_eq!(drawn.top_probability, p[0]);
            let second = p.get(1).copied().unwrap_or(0.0);
            prop_assert!((drawn.margin - (p[0] - second)).abs() < 1e-12);
        }
    }
}
