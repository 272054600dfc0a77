//! How much of a text was there before, and where in the text.

use serde::Serialize;

use super::ngram::seen_before;
use super::share;

/// Length of the n-grams.
const GRAM: usize = 4;

/// 4-grams of a text that were there before in the same text (rep-n of Welleck et al., arXiv 1908.04319).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Repetition {
    /// As a share of all 4-grams; `None` where there is none.
    pub all: Option<f64>,
    /// The same for the 4-grams that begin in each quarter of a text; before is the whole text up to there.
    pub by_quarter: [Option<f64>; 4],
    /// Texts that have a 4-gram which begins in each quarter: those that `by_quarter` is the mean of.
    pub quarter_texts: [usize; 4],
}

impl Repetition {
    /// Of one text of token ids.
    #[must_use]
    pub fn of_text(ids: &[u32]) -> Self {
        let seen = seen_before(ids, GRAM);
        let repeated = |part: &[bool]| share(part.iter().filter(|seen| **seen).count(), part.len());
        let by_quarter =
            [0, 1, 2, 3].map(|quarter| repeated(&seen[seen.len() * quarter / 4..seen.len() * (quarter + 1) / 4]));
        Self {
            all: repeated(&seen),
            by_quarter,
            quarter_texts: by_quarter.map(|share| usize::from(share.is_some())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_found_where_it_is() {
        // 4-grams: 1234 2341 3412 4123 1234, of which the last was there.
        let repetition = Repetition::of_text(&[1, 2, 3, 4, 1, 2, 3, 4]);
        assert_eq!(repetition.all, Some(0.2));
        assert_eq!(repetition.by_quarter, [0.0, 0.0, 0.0, 0.5].map(Some));
        assert_eq!(Repetition::of_text(&[1, 1, 1]), Repetition::default());
        let one = Repetition::of_text(&[1, 1, 1, 1]);
        assert_eq!((one.all, one.by_quarter), (Some(0.0), [None, None, None, Some(0.0)]));
    }
}
