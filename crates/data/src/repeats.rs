//! How much of a text repeats itself.

use std::collections::HashSet;

/// Share of the 4-grams of `ids` that stand in it before; 0 of fewer than four ids.
pub(super) fn repeated_share(ids: &[u32]) -> f64 {
    let grams = ids.windows(4);
    let all = grams.len();
    let different = grams.collect::<HashSet<_>>().len();
    (all - different) as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_counted_by_hand() {
        assert_eq!(repeated_share(&[]), 0.0);
        assert_eq!(repeated_share(&[1, 2, 3]), 0.0);
        assert_eq!(repeated_share(&[1, 2, 3, 4, 5]), 0.0);
        // Of 1234, 2341, 3412, 4123 and 1234 one is a repeat.
        assert_eq!(repeated_share(&[1, 2, 3, 4, 1, 2, 3, 4]), 0.2);
        assert_eq!(repeated_share(&[7; 103]), 0.99);
    }
}
