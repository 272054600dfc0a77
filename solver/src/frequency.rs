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
//!
//! A network that has begun to say one word over and over is surer of it each time, and outweighs every logarithm. Where a
//! token holds more than a quarter of the last 64 places, each further one costs `penalty` nats. In people's texts none holds a third.

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
    /// Tokens that counts are scaled down to once more are counted; 1 or more.
    pub level: usize,
}

/// What suits tokens that share a step: no poorer words than people use.
impl Default for FrequencyConfig {
    fn default() -> Self {
        Self {
            penalty: 0.9,
            window: 1024,
            level: 832,
        }
    }
}

/// Places before a position among which no token should crowd.
const NEAR: usize = 64;

/// How many of them a token may hold at no further cost.
const CROWD: u32 = 16;

/// How often tokens stand in a text, by token.
type Counts = HashMap<u32, u32>;

fn count(text: impl IntoIterator<Item = u32>) -> Counts {
    let mut counts = Counts::new();
    text.into_iter()
        .for_each(|token| *counts.entry(token).or_default() += 1);
    counts
}

/// The text before a block, counted once for all of its steps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Before {
    counts: Counts,
    /// The end of it, in reading order.
    near: Vec<u32>,
}

impl Before {
    /// Of a text in reading order.
    pub(crate) fn of(text: Vec<u32>) -> Self {
        let near = text[text.len().saturating_sub(NEAR)..].to_vec();
        let counts = count(text);
        Self { counts, near }
    }

    /// How often tokens stand in the places before a position of the block.
    fn near(&self, block: &[Option<u32>], position: usize) -> Counts {
        let own = &block[position.saturating_sub(NEAR)..position];
        let before = &self.near[self.near.len().saturating_sub(NEAR - own.len())..];
        count(before.iter().copied().chain(own.iter().flatten().copied()))
    }
}

impl FrequencyConfig {
    /// Holds nothing back.
    #[must_use]
    pub fn none() -> Self {
        Self {
            penalty: 0.0,
            ..Self::default()
        }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`crate::Error::OutOfRange`].
    pub fn validate(&self) -> Result<()> {
        require(self.penalty.is_finite(), "frequency penalty", self.penalty, "finite")?;
        require(self.level > 0, "frequency level", self.level as f64, "1 or more")
    }

    /// Takes from rows of `logits`, `[positions * vocabulary]`, what the tokens of the text so far cost at these `positions` of the block: those
    /// `before` it and those that `block` has by now. Before the temperature divides them.
    pub(crate) fn hold_back(
        &self,
        before: &Before,
        block: &[Option<u32>],
        positions: &[usize],
        logits: &mut [f32],
        vocabulary: usize,
    ) {
        if self.penalty == 0.0 {
            return;
        }
        let costs = self.costs(before, block);
        let rows = logits.par_chunks_exact_mut(vocabulary);
        rows.zip(positions).for_each(|(row, position)| {
            for (token, cost) in &costs {
                row[*token] -= cost;
            }
            for (token, count) in before.near(block, *position) {
                row[token as usize] -= (self.penalty.max(0.0) * f64::from(count.saturating_sub(CROWD))) as f32;
            }
        });
    }

    /// What each token of the text costs wherever it would come next.
    fn costs(&self, before: &Before, block: &[Option<u32>]) -> Vec<(usize, f32)> {
        let mut own = count(block.iter().flatten().copied());
        let both = before
            .counts
            .iter()
            .map(|(token, count)| (*token, count + own.remove(token).unwrap_or_default()));
        let mut counts: Vec<(u32, u32)> = both.collect();
        counts.extend(own);
        let counted: u32 = counts.iter().map(|(_, count)| count).sum();
        let level = self.level as f64;
        let scale = level / level.max(f64::from(counted));
        let cost = |count: u32| (self.penalty * (scale * f64::from(count)).ln_1p()) as f32;
        counts
            .into_iter()
            .map(|(token, count)| (token as usize, cost(count)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: impl Into<f64>, b: impl Into<f64>) {
        let (a, b) = (a.into(), b.into());
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }

    #[test]
    fn what_was_said_costs_the_logarithm_of_its_count() {
        let mut logits = [0.0, 1.0, 2.0, f32::NEG_INFINITY, 4.0, 5.0, 6.0, 7.0];
        let config = FrequencyConfig {
            penalty: 0.5,
            ..FrequencyConfig::default()
        };
        let block = [Some(1), None, Some(0), None, Some(1)];
        config.hold_back(&Before::of(vec![1, 3]), &block, &[1, 3], &mut logits, 4);
        let (once, thrice) = (0.5 * 2_f32.ln(), 0.5 * 4_f32.ln());
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
            let block: Vec<Option<u32>> = block.iter().copied().map(Some).chain([None]).collect();
            let last = block.len() - 1;
            config.hold_back(&Before::of(before.to_vec()), &block, &[last], &mut logits, 3);
            logits.map(|x| f64::from(-x))
        };
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
        // Long enough that 64 places are less than all of it, with a token that crowds.
        let text: Vec<u32> = (0..150_u32).map(|at| if at % 3 == 0 { 6 } else { at % 5 }).collect();
        let config = FrequencyConfig {
            penalty: 0.9,
            level: 99,
            ..FrequencyConfig::default()
        };
        let held_back = |start: usize| {
            let (before, own) = text.split_at(start);
            let block: Vec<Option<u32>> = own.iter().copied().map(Some).chain([None]).collect();
            let mut logits: Vec<f32> = (0..7_u8).map(|at| f32::from(at).sin() * 9.0).collect();
            config.hold_back(&Before::of(before.to_vec()), &block, &[own.len()], &mut logits, 7);
            logits.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        for start in 1..=text.len() {
            assert_eq!(held_back(start), held_back(0), "a block from {start} on");
        }
    }

    #[test]
    fn a_token_that_crowds_costs_by_the_piece() {
        let config = FrequencyConfig {
            penalty: 0.5,
            ..FrequencyConfig::default()
        };
        // The token stands 20 times right before a block of others.
        let mut block: Vec<Option<u32>> = (0..60).map(|at| (at % 2 == 0).then_some(2 + at / 4)).collect();
        block.push(None);
        let lost = |position: usize| {
            let mut logits = [0.0; 20];
            config.hold_back(&Before::of(vec![1; 20]), &block, &[position], &mut logits, 20);
            f64::from(-logits[1])
        };
        let logarithm = 0.5 * 21_f64.ln();
        close(lost(1), logarithm + 0.5 * 4.0);
        close(lost(45), logarithm + 0.5 * 3.0);
        close(lost(60), logarithm);
    }

    #[test]
    fn no_penalty_changes_no_bit() {
        let mut logits = [0.1, -0.2, 0.3];
        let block = [Some(1), Some(2), None];
        FrequencyConfig::none().hold_back(&Before::of(vec![0]), &block, &[2], &mut logits, 3);
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
