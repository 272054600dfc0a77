//! Holding back tokens by how often the text holds them already.
//!
//! A temperature below 1 sharpens every prediction, and with it the vocabulary of the whole text: frequent words come oftener than in
//! any text of the corpus, and loops follow. This takes the second away and leaves the first. A token that the last `window` tokens hold `c` times
//! loses `penalty ln(1 + c)` nats before the temperature divides: `p` becomes `p (1 + c)^-penalty`. The additive
//! frequency penalty of other samplers is linear in `c`, which after some hundred tokens would ban commas; the logarithm never does. Commit schedules and
//! reports see predictions as they are after it.
//!
//! Counts grow with what is counted, and so would the vocabulary of a long text, from one page to the next. Once more than `level` tokens are
//! counted, `c` is therefore how often a token comes in `level` of them. Too low a level lets loops in: at 300 of 1,024 tokens the words
//! of a text become fewer from quarter to quarter.

use std::collections::HashMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Result, require};

/// How far tokens that the text holds already are held back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FrequencyConfig {
    /// Nats that a logit loses for each e-fold of `1 + count`; 0 for none, below 0 the text repeats itself more.
    pub penalty: f64,
    /// Tokens before the block, prompt included, that are counted with those of the block.
    pub window: usize,
    /// Tokens that counts are scaled down to where more are counted, 1 or more; `window` or more scales nothing but the block's own.
    pub level: usize,
}

impl Default for FrequencyConfig {
    fn default() -> Self {
        Self {
            penalty: 0.0,
            window: 1024,
            level: 832,
        }
    }
}

/// How often tokens stand in a text, by token.
pub(crate) type Counts = HashMap<u32, u32>;

/// Counts the tokens of a text.
pub(crate) fn count(text: impl IntoIterator<Item = u32>) -> Counts {
    let mut counts = Counts::new();
    text.into_iter()
        .for_each(|token| *counts.entry(token).or_default() += 1);
    counts
}

impl FrequencyConfig {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`crate::Error::OutOfRange`].
    pub fn validate(&self) -> Result<()> {
        require(self.penalty.is_finite(), "frequency penalty", self.penalty, "finite")?;
        require(self.level > 0, "frequency level", self.level as f64, "1 or more")
    }

    /// Takes from rows of `logits`, `[rows * vocabulary]`, what the tokens of the text so far cost: those `before` the block,
    /// which are counted once for all of its steps, and those that `block` has by now. Before the temperature divides them.
    pub(crate) fn hold_back(
        &self,
        before: &Counts,
        block: impl Iterator<Item = u32>,
        logits: &mut [f32],
        vocabulary: usize,
    ) {
        if self.penalty == 0.0 {
            return;
        }
        let mut own = count(block);
        let both = before
            .iter()
            .map(|(token, count)| (*token, count + own.remove(token).unwrap_or_default()));
        let mut counts: Vec<(u32, u32)> = both.collect();
        counts.extend(own);
        let counted: u32 = counts.iter().map(|(_, count)| count).sum();
        let level = self.level as f64;
        let scale = level / level.max(f64::from(counted));
        let cost = |count: u32| (self.penalty * (scale * f64::from(count)).ln_1p()) as f32;
        let costs: Vec<(usize, f32)> = counts
            .into_iter()
            .map(|(token, count)| (token as usize, cost(count)))
            .collect();
        logits.par_chunks_exact_mut(vocabulary).for_each(|row| {
            for (token, cost) in &costs {
                row[*token] -= cost;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_costs_the_logarithm_of_its_count() {
        let mut logits = [0.0, 1.0, 2.0, f32::NEG_INFINITY, 4.0, 5.0, 6.0, 7.0];
        let config = FrequencyConfig {
            penalty: 0.5,
            ..FrequencyConfig::default()
        };
        config.hold_back(&count([1, 3]), [1, 0, 1].into_iter(), &mut logits, 4);
        let (once, thrice) = (0.5 * 2_f32.ln(), 0.5 * 4_f32.ln());
        let close = |a: f32, b: f32| assert!((a - b).abs() < 1e-6, "{a} {b}");
        for (row, first) in logits.chunks(4).zip([0.0, 4.0]) {
            close(row[0], first - once);
            close(row[1], first + 1.0 - thrice);
            close(row[2], first + 2.0);
        }
        assert_eq!(logits[3], f32::NEG_INFINITY, "a ban stays one");
        close(logits[7], 7.0 - once);
    }

    #[test]
    fn beyond_the_level_shares_count() {
        let config = FrequencyConfig {
            penalty: 0.5,
            level: 4,
            ..FrequencyConfig::default()
        };
        let lost = |before: &[u32], block: &[u32]| {
            let mut logits = [0.0; 3];
            config.hold_back(&count(before.iter().copied()), block.iter().copied(), &mut logits, 3);
            logits.map(|x| f64::from(-x))
        };
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        let [one, three, none] = lost(&[0, 1], &[1, 1]);
        close(one, 0.5 * 2_f64.ln());
        close(three, 0.5 * 4_f64.ln());
        close(none, 0.0);
        // Three times the text: each token is as much of it as before.
        let long = lost(&[0, 1, 1, 0, 1, 1, 0, 1], &[1, 1, 1, 1]);
        [one, three, none].iter().zip(long).for_each(|(a, b)| close(*a, b));
    }

    #[test]
    fn where_the_block_begins_changes_no_bit() {
        let text = [5, 1, 4, 1, 1, 0, 5, 2, 1, 5, 4];
        let config = FrequencyConfig {
            penalty: 0.9,
            level: 9,
            ..FrequencyConfig::default()
        };
        let held_back = |start: usize| {
            let (before, block) = text.split_at(start);
            let mut logits: Vec<f32> = (0..21_u8).map(|at| f32::from(at).sin() * 9.0).collect();
            config.hold_back(&count(before.iter().copied()), block.iter().copied(), &mut logits, 7);
            logits.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        for start in 1..=text.len() {
            assert_eq!(held_back(start), held_back(0), "a block from {start} on");
        }
    }

    #[test]
    fn no_penalty_changes_no_bit() {
        let mut logits = [0.1, -0.2, 0.3];
        FrequencyConfig::default().hold_back(&count([0]), [1, 2].into_iter(), &mut logits, 3);
        assert_eq!(logits, [0.1, -0.2, 0.3]);
        let wrong = FrequencyConfig {
            penalty: f64::NAN,
            ..FrequencyConfig::default()
        };
        assert!(wrong.validate().is_err());
        let flat = FrequencyConfig {
            level: 0,
            ..FrequencyConfig::default()
        };
        assert!(flat.validate().is_err());
    }
}
