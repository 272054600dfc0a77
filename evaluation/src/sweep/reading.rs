//! How texts read, by counting: entropy, different n-grams, repetition.

use std::collections::{HashMap, HashSet};

/// What is counted in the tokens of texts; means over texts, each with equal weight.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Counts {
    /// Unigram entropy of a text, nats a token.
    pub entropy: f64,
    /// Different tokens, as a share of all.
    pub distinct_1: f64,
    /// Different bigrams, as a share of all.
    pub distinct_2: f64,
    /// 4-grams that were there before in the same text, as a share of all.
    pub repeated_4: f64,
    /// The same for the 4-grams that begin in each quarter of a text; before is the whole text up to there.
    pub repeated_4_by_quarter: [f64; 4],
}

impl Counts {
    /// Counts in texts of token ids. `None` when no text has a token.
    #[must_use]
    pub fn of<'a>(texts: impl Iterator<Item = &'a [u32]>) -> Option<Self> {
        let counts: Vec<Self> = texts.filter(|text| !text.is_empty()).map(Self::of_text).collect();
        let mean = |of: &dyn Fn(&Self) -> f64| counts.iter().map(of).sum::<f64>() / counts.len() as f64;
        (!counts.is_empty()).then(|| Self {
            entropy: mean(&|counts| counts.entropy),
            distinct_1: mean(&|counts| counts.distinct_1),
            distinct_2: mean(&|counts| counts.distinct_2),
            repeated_4: mean(&|counts| counts.repeated_4),
            repeated_4_by_quarter: [0, 1, 2, 3].map(|quarter| mean(&|counts| counts.repeated_4_by_quarter[quarter])),
        })
    }

    fn of_text(ids: &[u32]) -> Self {
        let seen = seen_before(ids);
        let quarter = |index: usize| {
            let (from, to) = (seen.len() * index / 4, seen.len() * (index + 1) / 4);
            share(seen[from..to].iter().filter(|seen| **seen).count(), to - from)
        };
        Self {
            entropy: entropy(ids),
            distinct_1: distinct(ids, 1),
            distinct_2: distinct(ids, 2),
            repeated_4: share(seen.iter().filter(|seen| **seen).count(), seen.len()),
            repeated_4_by_quarter: [0, 1, 2, 3].map(quarter),
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

fn distinct(ids: &[u32], n: usize) -> f64 {
    let different: HashSet<&[u32]> = ids.windows(n).collect();
    share(different.len(), (ids.len() + 1).saturating_sub(n))
}

/// For each 4-gram of a text, whether it was there before.
fn seen_before(ids: &[u32]) -> Vec<bool> {
    let mut known = HashSet::new();
    ids.windows(4).map(|gram| !known.insert(gram)).collect()
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_found_by_hand_computed_counts() {
        let counts = Counts::of([&[1, 2, 3, 4, 1, 2, 3, 4][..]].into_iter()).unwrap();
        assert!((counts.entropy - 4_f64.ln()).abs() < 1e-12);
        assert_eq!((counts.distinct_1, counts.distinct_2), (0.5, 4.0 / 7.0));
        // 4-grams: 1234 2341 3412 4123 1234, of which the last was there.
        assert_eq!(counts.repeated_4, 0.2);
        assert_eq!(counts.repeated_4_by_quarter, [0.0, 0.0, 0.0, 0.5]);
    }

    #[test]
    fn texts_weigh_equally_and_empty_ones_not_at_all() {
        let texts: [&[u32]; 3] = [&[5, 5, 5, 5], &[], &[1, 2]];
        let counts = Counts::of(texts.into_iter()).unwrap();
        assert!((counts.entropy - 0.5 * 2_f64.ln()).abs() < 1e-12);
        assert_eq!(counts.distinct_1, 0.5 * (0.25 + 1.0));
        assert!(Counts::of([&[][..]].into_iter()).is_none());
    }
}
