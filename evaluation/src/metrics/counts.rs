//! How texts read, by counting: entropy, different n-grams, repetition.

use std::collections::HashMap;

use serde::Serialize;

use super::ngram::distinct;
use super::repetition::Repetition;

/// What is counted in the tokens of texts; means over texts, each with equal weight.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Counts {
    /// Unigram entropy of a text, nats a token.
    pub entropy: f64,
    /// Different n-grams as a share of all, for n from 1 to 4.
    pub distinct: [f64; 4],
    /// 4-grams that were there before in the same text.
    pub repeated_4: Repetition,
}

impl Counts {
    /// Counts in texts of token ids. `None` when no text has a token.
    #[must_use]
    pub fn of<'a>(texts: impl Iterator<Item = &'a [u32]>) -> Option<Self> {
        let counts: Vec<Self> = texts.filter(|text| !text.is_empty()).map(Self::of_text).collect();
        let mean = |of: &dyn Fn(&Self) -> f64| counts.iter().map(of).sum::<f64>() / counts.len() as f64;
        let four = |of: &dyn Fn(&Self) -> [f64; 4]| [0, 1, 2, 3].map(|place| mean(&|counts| of(counts)[place]));
        (!counts.is_empty()).then(|| Self {
            entropy: mean(&|counts| counts.entropy),
            distinct: four(&|counts| counts.distinct),
            repeated_4: Repetition {
                all: mean(&|counts| counts.repeated_4.all),
                by_quarter: four(&|counts| counts.repeated_4.by_quarter),
            },
        })
    }

    fn of_text(ids: &[u32]) -> Self {
        Self {
            entropy: entropy(ids),
            distinct: [1, 2, 3, 4].map(|n| distinct(ids, n)),
            repeated_4: Repetition::of_text(ids),
        }
    }
}

/// Unigram entropy `-sum p ln p` of the tokens of one text, in nats.
fn entropy(ids: &[u32]) -> f64 {
    let mut counts: HashMap<u32, usize> = HashMap::new();
    ids.iter().for_each(|id| *counts.entry(*id).or_default() += 1);
    // Sorted, so that the sum does not depend on the order of a hash.
    let mut counts: Vec<usize> = counts.into_values().collect();
    counts.sort_unstable();
    let total = ids.len() as f64;
    counts
        .into_iter()
        .map(|count| count as f64 / total)
        .map(|p| -p * p.ln())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_found_by_hand_computed_counts() {
        let counts = Counts::of([&[1, 2, 3, 4, 1, 2, 3, 4][..]].into_iter()).unwrap();
        assert!((counts.entropy - 4_f64.ln()).abs() < 1e-12);
        assert_eq!(counts.distinct, [0.5, 4.0 / 7.0, 4.0 / 6.0, 4.0 / 5.0]);
        assert_eq!(counts.repeated_4.all, 0.2);
    }

    #[test]
    fn texts_weigh_equally_and_empty_ones_not_at_all() {
        let texts: [&[u32]; 3] = [&[5, 5, 5, 5], &[], &[1, 2]];
        let counts = Counts::of(texts.into_iter()).unwrap();
        assert!((counts.entropy - 0.5 * 2_f64.ln()).abs() < 1e-12);
        assert_eq!(counts.distinct[0], 0.5 * (0.25 + 1.0));
        assert!(Counts::of([&[][..]].into_iter()).is_none());
    }
}
