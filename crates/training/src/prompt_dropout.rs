//! Windows whose opening is hidden, so that a network also learns to write without a prompt.

use drdiff_diffusion::Levels;
use drdiff_noise::{Noise, Purpose};
use serde::{Deserialize, Serialize};

use crate::range::Range;
use crate::{Error, Result};

/// Dropping the prompt of some windows, as classifier-free guidance needs it (Ho and Salimans, arXiv 2207.12598).
///
/// The first tokens of a dropped window, as many as a prompt may have, are absorbed in both halves of `[noisy | clean]`: nothing reads them
/// and nothing is learned of them. Positions stay as they were.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PromptDropout {
    /// Share of the windows, in `[0, 1]`.
    pub share: f64,
    /// The length of what is hidden is uniform from 1 to this, in tokens.
    pub longest: usize,
}

impl Default for PromptDropout {
    /// None.
    fn default() -> Self {
        Self {
            share: 0.0,
            longest: 64,
        }
    }
}

impl PromptDropout {
    /// Checks the numbers for windows of `context` tokens.
    ///
    /// # Errors
    /// Names the first that makes no sense.
    pub fn validate(&self, context: usize) -> Result<()> {
        Range::Share.check("prompt_dropout.share", self.share)?;
        if self.share > 0.0 && !(1..context).contains(&self.longest) {
            return Err(Error::Config(format!(
                "`prompt_dropout.longest` is {}; it must be at least 1 and below the context of {context}",
                self.longest
            )));
        }
        Ok(())
    }

    /// Tokens to hide at the start of each of `batch` windows of pass `key`, 0 for most.
    pub(crate) fn draw(&self, noise: &Noise, key: u64, batch: usize) -> Vec<usize> {
        let length = |window| {
            let mut stream = noise.stream(Purpose::PromptDropout, key, window);
            // Both draws are made always, so that another share keeps the lengths.
            let (chosen, length) = (stream.uniform() < self.share, 1 + stream.below(self.longest.max(1)));
            length * usize::from(chosen)
        };
        (0..batch as u64).map(length).collect()
    }
}

/// Absorbs the hidden positions of windows of `len` tokens and takes them out of the loss.
pub(crate) fn hide(levels: &mut Levels, lengths: &[usize], len: usize) {
    let windows = levels.snr.chunks_mut(len).zip(levels.weight.chunks_mut(len));
    for ((snr, weight), hidden) in windows.zip(lengths) {
        snr[..*hidden].fill(0.0);
        weight[..*hidden].fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use drdiff_model::NoisedBatch;

    use super::*;

    #[test]
    fn a_share_of_the_windows_loses_a_part_of_its_opening() {
        let dropout = PromptDropout {
            share: 0.25,
            longest: 8,
        };
        let lengths = dropout.draw(&Noise::new(1, 0), 3, 4000);
        assert_eq!(lengths, dropout.draw(&Noise::new(1, 0), 3, 4000));
        let dropped = lengths.iter().filter(|length| **length > 0).count();
        assert!((900..1100).contains(&dropped), "{dropped}");
        for length in 1..=8 {
            let times = lengths.iter().filter(|other| **other == length).count();
            assert!((80..180).contains(&times), "{length}: {times}");
        }
        assert!(
            PromptDropout::default()
                .draw(&Noise::new(1, 0), 3, 50)
                .iter()
                .all(|length| *length == 0)
        );
    }

    #[test]
    fn hidden_positions_are_absorbed_and_cost_nothing() {
        let mut levels = Levels {
            snr: vec![f32::INFINITY, 2.0, 0.0, f32::INFINITY, 2.0, 0.0],
            weight: vec![0.0, 1.0, 1.0, 0.0, 1.0, 1.0],
        };
        hide(&mut levels, &[2, 0], 3);
        assert_eq!(levels.snr, [0.0, 0.0, 0.0, f32::INFINITY, 2.0, 0.0]);
        assert_eq!(levels.weight, [0.0, 0.0, 1.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn nothing_of_a_pass_depends_on_what_is_hidden() {
        let corrupted = |tokens: &[u32], hidden: &[usize]| {
            let kinds = [(0.0, 1.0), (f32::INFINITY, 0.0), (2.0, 1.0)];
            let (snr, weight) = (0..8).map(|i| kinds[i % 3]).unzip();
            let mut levels = Levels { snr, weight };
            hide(&mut levels, hidden, 4);
            let mut corrupted = NoisedBatch::new(tokens, &levels, 2, (10, 3), (Noise::new(2, 0), 0));
            corrupted.hide(hidden, 10);
            format!("{corrupted:?}")
        };
        let (one, other) = ([1, 2, 3, 4, 5, 6, 7, 8], [9, 0, 3, 4, 1, 6, 7, 8]);
        assert_eq!(corrupted(&one, &[2, 1]), corrupted(&other, &[2, 1]));
        assert_ne!(corrupted(&one, &[2, 0]), corrupted(&other, &[2, 0]));
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let message = |share, longest| PromptDropout { share, longest }.validate(32).unwrap_err().to_string();
        assert!(message(1.5, 8).contains("prompt_dropout.share"));
        assert!(message(0.1, 32).contains("prompt_dropout.longest"));
        assert!(
            PromptDropout {
                share: 0.0,
                longest: 99
            }
            .validate(32)
            .is_ok()
        );
    }
}
