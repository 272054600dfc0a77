//! How texts read, by counting: entropy, different n-grams, repetition.

use std::collections::HashMap;

use serde::Serialize;

use super::mean;
use super::ngram::distinct;
use super::repetition::Repetition;

/// What is counted in the tokens of texts: means over those texts that have what is counted, each with equal weight.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Counts {
    /// Unigram entropy of a text, nats a token.
    pub entropy: f64,
    /// Different n-grams as a share of all, for n from 1 to 4; `None` where no text has an n-gram.
    pub distinct: [Option<f64>; 4],
    /// Texts that have an n-gram, for n from 1 to 4: those that `distinct` is the mean of.
    pub distinct_texts: [usize; 4],
    /// 4-grams that were there before in the same text.
    pub repeated_4: Repetition,
}

impl Counts {
    /// Counts in texts of token ids. `None` when no text has a token.
    #[must_use]
    pub fn of<'a>(texts: impl Iterator<Item = &'a [u32]>) -> Option<Self> {
        let counts: Vec<Self> = texts.filter(|text| !text.is_empty()).map(Self::of_text).collect();
        let of = |of: &dyn Fn(&Self) -> Option<f64>| mean(counts.iter().map(of));
        let four =
            |each: &dyn Fn(&Self) -> [Option<f64>; 4]| [0, 1, 2, 3].map(|place| of(&|counts| each(counts)[place]));
        let (distinct, quarters) = (
            four(&|counts| counts.distinct),
            four(&|counts| counts.repeated_4.by_quarter),
        );
        let (entropy, _) = of(&|counts| Some(counts.entropy));
        Some(Self {
            entropy: entropy?,
            distinct: distinct.map(|(mean, _)| mean),
            distinct_texts: distinct.map(|(_, texts)| texts),
            repeated_4: Repetition {
                all: of(&|counts| counts.repeated_4.all).0,
                by_quarter: quarters.map(|(mean, _)| mean),
                quarter_texts: quarters.map(|(_, texts)| texts),
            },
        })
    }

    fn of_text(ids: &[u32]) -> Self {
        let distinct = [1, 2, 3, 4].map(|n| distinct(ids, n));
        Self {
            entropy: entropy(ids),
            distinct,
            distinct_texts: distinct.map(|share| usize::from(share.is_some())),
            repeated_4: Repetition::of_text(ids),
        }
    }
}

/// Unigram entropy `sum p ln 1/p`, which is never below zero, not even by its sign, of the tokens of one text, in nats.
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
        .map(|p| p * p.recip().ln())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_found_by_hand_computed_counts() {
        let counts = Counts::of([&[1, 2, 3, 4, 1, 2, 3, 4][..]].into_iter()).unwrap();
        assert!((counts.entropy - 4_f64.ln()).abs() < 1e-12);
        assert_eq!(counts.distinct, [0.5, 4.0 / 7.0, 4.0 / 6.0, 4.0 / 5.0].map(Some));
        assert_eq!(counts.repeated_4.all, Some(0.2));
    }

    #[test]
    fn texts_weigh_equally_and_empty_ones_not_at_all() {
        let texts: [&[u32]; 3] = [&[5, 5, 5, 5], &[], &[1, 2]];
        let counts = Counts::of(texts.into_iter()).unwrap();
        assert!((counts.entropy - 0.5 * 2_f64.ln()).abs() < 1e-12);
        assert_eq!(counts.distinct[0], Some(0.5 * (0.25 + 1.0)));
        assert!(Counts::of([&[][..]].into_iter()).is_none());
    }

    #[test]
    fn texts_too_short_for_an_n_gram_say_nothing_about_it() {
        let long: &[u32] = &[1, 2, 3, 4, 5, 6, 7];
        let alone = Counts::of([long].into_iter()).unwrap();
        let mixed = Counts::of([long, &[1], &[2, 3], &[4]].into_iter()).unwrap();
        assert_eq!(mixed.distinct, alone.distinct);
        assert_eq!(mixed.distinct_texts, [4, 2, 1, 1]);
        assert_eq!(mixed.repeated_4.by_quarter, alone.repeated_4.by_quarter);
        let one = Counts::of([&[7][..]].into_iter()).unwrap();
        assert!(one.entropy == 0.0 && one.entropy.is_sign_positive());
        assert_eq!(
            (one.distinct, one.repeated_4.all),
            ([Some(1.0), None, None, None], None)
        );
    }
}
