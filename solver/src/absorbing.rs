//! The absorbing path: how many positions become anchors in each step, and a second-order prediction for them.

use std::f64::consts::FRAC_PI_2;

use serde::{Deserialize, Serialize};

use crate::names::named;

/// How the number of committed positions grows over the steps of a block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Pace {
    /// Equal shares: ancestral sampling of the log-linear schedule (MDLM, arXiv 2406.07524) with the binomial counts
    /// replaced by their mean, which leaves the law of each position as it is.
    #[default]
    Linear,
    /// Few at first, many at the end (MaskGIT, arXiv 2202.04200).
    Cosine,
}

named!(Pace, "pace", { Linear => "linear", Cosine => "cosine" });

impl Pace {
    /// Positions still open after `done` of `steps` steps, of `total` at the start. 0 at the end.
    #[must_use]
    pub fn open_after(self, done: usize, steps: usize, total: usize) -> usize {
        if done >= steps {
            return 0;
        }
        let progress = done as f64 / steps as f64;
        let left = match self {
            Self::Linear => 1.0 - progress,
            Self::Cosine => (FRAC_PI_2 * progress).cos(),
        };
        // Rounded down, so that the first step already commits something.
        ((total as f64 * left + 1e-9).floor() as usize).min(total)
    }

    /// How many of the `open` positions to commit in step `step` (from 0) of `steps`, of `total` at the start: at
    /// least one while any is open, all in the last step. With more steps than positions the block ends early.
    #[must_use]
    pub fn commits(self, step: usize, steps: usize, total: usize, open: usize) -> usize {
        open.saturating_sub(self.open_after(step + 1, steps, total))
            .max(usize::from(open > 0))
    }
}

/// Log-probabilities of earlier steps of one block, for the second-order prediction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogitHistory {
    /// For each position the log-probabilities of its last prediction and the share committed then.
    rows: Vec<Option<(Vec<f32>, f64)>>,
}

impl LogitHistory {
    /// Second-order extrapolation in the manner of DPM-Solver++ 2M (midpoint): the rate of change over the last two
    /// predictions is carried half of the coming step ahead, `l + (h / 2 h0) (l - l_before)`. The path variable is the
    /// committed share of the block, `done` now and `next` after this step; so the steps of a linear pace get the
    /// familiar `3/2 l - 1/2 l_before`. This transfer of 2M to masked diffusion is ours.
    ///
    /// `logits` is one row, `[V]`; it is normalised to log-probabilities, remembered, and replaced by the extrapolated
    /// row. The ratio is capped at 1, so a large last step does not overshoot.
    pub fn extrapolate(&mut self, position: usize, logits: &mut [f32], done: f64, next: f64) {
        normalise(logits);
        if self.rows.len() <= position {
            self.rows.resize(position + 1, None);
        }
        let before = self.rows[position].replace((logits.to_vec(), done));
        if let Some((row, at)) = before
            && row.len() == logits.len()
            && done > at
        {
            let weight = (0.5 * ((next - done) / (done - at)).clamp(0.0, 1.0)) as f32;
            for (now, earlier) in logits.iter_mut().zip(row) {
                // A banned token stays banned: infinity minus infinity is not a rate of change.
                if now.is_finite() && earlier.is_finite() {
                    *now += weight * (*now - earlier);
                }
            }
        }
    }

    /// Forgets one position, as when it is re-absorbed.
    pub fn forget(&mut self, position: usize) {
        if let Some(row) = self.rows.get_mut(position) {
            *row = None;
        }
    }
}

/// Subtracts the log of the summed exponentials. Rows without a finite maximum are left alone.
fn normalise(logits: &mut [f32]) {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if top.is_finite() {
        let total: f64 = logits.iter().map(|l| (f64::from(*l) - f64::from(top)).exp()).sum();
        let log = f64::from(top) + total.ln();
        logits.iter_mut().for_each(|l| *l = (f64::from(*l) - log) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pace: Pace, steps: usize, total: usize) -> Vec<usize> {
        let mut open = total;
        (0..steps)
            .map(|step| {
                let n = pace.commits(step, steps, total, open);
                open -= n;
                n
            })
            .collect()
    }

    #[test]
    fn every_position_is_committed_in_time() {
        assert_eq!(counts(Pace::Linear, 4, 16), [4, 4, 4, 4]);
        assert_eq!(counts(Pace::Linear, 4, 10), [3, 2, 3, 2]);
        assert_eq!(counts(Pace::Linear, 1, 7), [7]);
        assert_eq!(
            counts(Pace::Linear, 5, 3),
            [1, 1, 1, 0, 0],
            "more steps than positions end early"
        );
        assert_eq!(counts(Pace::Cosine, 4, 16), [2, 3, 5, 6]);
        for pace in Pace::ALL.iter().copied() {
            for steps in 1..40 {
                for total in 0..40 {
                    assert_eq!(
                        counts(pace, steps, total).iter().sum::<usize>(),
                        total,
                        "{pace} {steps} {total}"
                    );
                }
            }
        }
    }

    #[test]
    fn extrapolation_is_exact_for_a_constant_rate() {
        // Log-odds that drift linearly with the committed share: the midpoint of the step is predicted exactly.
        let row = |share: f32| [0.0, 2.0 * share - 1.0];
        let mut history = LogitHistory::default();
        let mut first = row(0.25);
        history.extrapolate(3, &mut first, 0.25, 0.5);
        assert!((first[1] - first[0] + 0.5).abs() < 1e-6, "nothing to look back on");
        let mut second = row(0.5);
        history.extrapolate(3, &mut second, 0.5, 0.75);
        let normaliser = |x: f32| (1.0 + x.exp()).ln();
        let drift = -(normaliser(0.0) - normaliser(-0.5)) / 2.0;
        assert!((second[1] - second[0] - 0.25).abs() < 1e-6, "log-odds at share 0.625");
        assert!((second[0] - (-normaliser(0.0) + drift)).abs() < 1e-6);
    }

    #[test]
    fn extrapolation_forgets_and_keeps_bans() {
        let mut history = LogitHistory::default();
        history.extrapolate(0, &mut [0.0, 1.0, f32::NEG_INFINITY], 0.0, 0.5);
        let mut row = [1.0, 0.0, f32::NEG_INFINITY];
        history.extrapolate(0, &mut row, 0.5, 1.0);
        assert_eq!(row[2], f32::NEG_INFINITY);
        assert!(row[0] - row[1] > 1.9, "1 now, -1 before");
        history.forget(0);
        let mut row = [1.0, 0.0, 0.0];
        history.extrapolate(0, &mut row, 0.8, 1.0);
        assert!((row[0] - row[1] - 1.0).abs() < 1e-6);
    }
}
