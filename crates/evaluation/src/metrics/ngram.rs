//! Runs of `n` tokens: which there are, and which were there before.

use std::collections::HashSet;

use super::share;

/// Different n-grams as a share of all (distinct-n: Li et al., arXiv 1510.03055). `None` of a text shorter than `n`, which says
/// nothing about n-grams.
pub(super) fn distinct(ids: &[u32], n: usize) -> Option<f64> {
    let different: HashSet<&[u32]> = ids.windows(n).collect();
    share(different.len(), (ids.len() + 1).saturating_sub(n))
}

/// For each n-gram of a text, whether it was there before.
pub(super) fn seen_before(ids: &[u32], n: usize) -> Vec<bool> {
    let mut known = HashSet::new();
    ids.windows(n).map(|gram| !known.insert(gram)).collect()
}

/// 4-grams of `second` that stand in `first`, as a share of all. `None` of a text without one.
#[must_use]
pub fn copied_4(first: &[u32], second: &[u32]) -> Option<f64> {
    let known: HashSet<&[u32]> = first.windows(4).collect();
    let copied = second.windows(4).filter(|gram| known.contains(gram));
    share(copied.count(), second.windows(4).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // 12 21 12: two of three bigrams differ, the last was there.
        assert_eq!(distinct(&[1, 2, 1, 2], 2), Some(2.0 / 3.0));
        assert_eq!(seen_before(&[1, 2, 1, 2], 2), [false, false, true]);
        assert_eq!(distinct(&[1], 2), None);
        assert!(seen_before(&[1], 2).is_empty());
        // 2345 and 3459, of which the first is there.
        assert_eq!(copied_4(&[1, 2, 3, 4, 5], &[2, 3, 4, 5, 9]), Some(0.5));
        assert_eq!(copied_4(&[1, 2, 3, 4, 5], &[2, 3, 4]), None);
    }
}
