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
    }
}
