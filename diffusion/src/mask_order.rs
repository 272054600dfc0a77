//! The order in which the positions of a block become text: what is masked while a block is written.

use drdiff_noise::NoiseStream;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, require};
use crate::masked_share::choose;

/// Relative weights of the orders in which a sampler may have written the part of a block that training shows, drawn once for each
/// block. Masks that occur while writing teach most (progressive unmasking, PUMA, arXiv 2602.10314); here only orders that do not
/// look at predictions, which cost nothing to draw.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskOrder {
    /// Uniformly random: every set of masked positions is as likely as any other of its size.
    pub random: f64,
    /// Far from each other, in whole steps of a sampler that writes a block in `steps` of them.
    pub spread: f64,
    /// From left to right.
    pub left_to_right: f64,
    /// Steps that `spread` writes a block in.
    pub steps: usize,
}

impl Default for MaskOrder {
    fn default() -> Self {
        Self {
            random: 1.0,
            spread: 0.0,
            left_to_right: 0.0,
            steps: 8,
        }
    }
}

impl MaskOrder {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] or [`Error::Zero`], naming the first value that is not usable.
    pub fn validate(&self) -> Result<()> {
        let weights = [
            ("mask_order.random", self.random),
            ("mask_order.spread", self.spread),
            ("mask_order.left_to_right", self.left_to_right),
        ];
        for (name, weight) in weights {
            require(weight >= 0.0 && weight.is_finite(), name, weight, "0 or more")?;
        }
        let sum = self.random + self.spread + self.left_to_right;
        require(sum > 0.0, "the sum of the weights of mask_order", sum, "above 0")?;
        if self.steps == 0 {
            return Err(Error::Zero("mask_order.steps"));
        }
        Ok(())
    }

    /// The positions of a block of `size` that are still masked, ascending, when about `masked` of them are: `spread` goes back to the
    /// end of its last whole step. At least one if `masked` is.
    pub(crate) fn open(&self, stream: &mut NoiseStream, size: usize, masked: usize) -> Vec<usize> {
        // One order alone draws no lot, so that runs from before there were others see what they saw.
        let alone = self.spread == 0.0 && self.left_to_right == 0.0;
        let lot = match alone {
            true => 0.0,
            false => stream.uniform() * (self.random + self.spread + self.left_to_right),
        };
        if alone || lot < self.random {
            return choose(stream, size, masked);
        }
        if lot - self.random >= self.spread {
            return (size - masked..size).collect();
        }
        let count = size.div_ceil(self.steps);
        let mut open: Vec<usize> = (0..size).collect();
        while open.len() >= masked + count {
            take_spread(&mut open, count, stream.uniform());
        }
        open
    }
}

/// Systematic sampling: `count` of the positions `open` (all when there are fewer) at even distances, the first of them at `first`
/// of one distance, in `[0, 1)`. Ascends as `open` does.
#[must_use]
pub fn spread<T: Copy>(open: &[T], count: usize, first: f64) -> Vec<T> {
    let count = count.min(open.len());
    let distance = open.len() as f64 / count as f64;
    // What rounding lifts to the end belongs to the last.
    let place = |k: usize| (((k as f64 + first) * distance) as usize).min(open.len() - 1);
    (0..count).map(|k| open[place(k)]).collect()
}

/// [`spread`], which leaves the others in `open`; they ascend.
pub fn take_spread<T: Copy + Ord>(open: &mut Vec<T>, count: usize, first: f64) -> Vec<T> {
    let taken = spread(open, count, first);
    open.retain(|position| taken.binary_search(position).is_err());
    taken
}

#[cfg(test)]
mod tests {
    use drdiff_noise::{Noise, Purpose};

    use super::*;

    fn only(order: MaskOrder, size: usize, masked: usize) -> Vec<usize> {
        let mut stream = Noise::new(5, 0).stream(Purpose::MaskedShare, 0, 0);
        order.open(&mut stream, size, masked)
    }

    #[test]
    fn left_to_right_leaves_the_end() {
        let order = MaskOrder {
            random: 0.0,
            left_to_right: 1.0,
            ..MaskOrder::default()
        };
        assert_eq!(only(order, 8, 3), [5, 6, 7]);
        assert_eq!(only(order, 8, 8).len(), 8);
    }

    #[test]
    fn spread_writes_whole_steps_far_apart() {
        let order = MaskOrder {
            random: 0.0,
            spread: 1.0,
            ..MaskOrder::default()
        };
        for masked in 1..=32 {
            let open = only(order, 32, masked);
            assert_eq!(open.len(), masked.div_ceil(4) * 4, "steps of four, {masked} masked");
        }
        let open = only(order, 32, 28);
        let written: Vec<usize> = (0..32).filter(|position| !open.contains(position)).collect();
        assert!(written.windows(2).all(|pair| pair[1] - pair[0] == 8), "{written:?}");
        // A short last block.
        assert_eq!(only(order, 3, 1).len(), 1);
    }

    #[test]
    fn random_alone_draws_what_it_drew() {
        let noise = Noise::new(5, 0);
        let mut stream = noise.stream(Purpose::MaskedShare, 0, 0);
        assert_eq!(only(MaskOrder::default(), 16, 5), choose(&mut stream, 16, 5));
    }

    #[test]
    fn weights_are_checked() {
        let wrong = |order: MaskOrder| order.validate().is_err();
        assert!(wrong(MaskOrder {
            random: 0.0,
            ..MaskOrder::default()
        }));
        assert!(wrong(MaskOrder {
            spread: -1.0,
            ..MaskOrder::default()
        }));
        assert!(wrong(MaskOrder {
            steps: 0,
            ..MaskOrder::default()
        }));
    }
}
