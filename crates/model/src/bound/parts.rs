//! The bound by place in the window.

use drdiff_diffusion::BoundAccumulator;
use serde::Serialize;

use crate::{Error, Result};

/// A bound on the negative log-likelihood of one of the equal parts of all windows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PartBound {
    /// First position of the part in its window.
    pub from: usize,
    /// Nats per token of the part.
    pub nats: f64,
    /// Standard error of `nats`, as if the windows were independent draws.
    pub error: f64,
}

/// Running estimates, one for each part. A block that lies in several parts gives each what its own positions cost, so
/// the mean of the parts is the bound of the whole.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    /// Positions of a part.
    len: usize,
    bounds: Vec<BoundAccumulator>,
}

impl Parts {
    /// `count` parts of windows of `window` positions; 0 for none.
    ///
    /// # Errors
    /// If they would be unequal.
    pub(crate) fn new(window: usize, count: usize) -> Result<Self> {
        if count > 0 && !window.is_multiple_of(count) {
            return Err(Error::Measure(format!(
                "windows of {window} tokens have no {count} equal parts; use a divisor of {window}"
            )));
        }
        Ok(Self {
            len: window / count.max(1),
            bounds: vec![BoundAccumulator::default(); count],
        })
    }

    /// Adds a window in blocks of `block_size`, in which the positions `masked` were open and cost `nats`, in order.
    ///
    /// # Errors
    /// As [`BoundAccumulator::add`].
    pub(crate) fn add(&mut self, masked: &[bool], block_size: usize, nats: &[f64]) -> Result<()> {
        if self.bounds.is_empty() {
            return Ok(());
        }
        let mut costs = vec![0.0; self.bounds.len()];
        let mut nats = nats.iter();
        for (index, block) in masked.chunks(block_size).enumerate() {
            // Each of a block's open positions stands for so many of its positions.
            let weight = block.len() as f64 / block.iter().filter(|open| **open).count() as f64;
            let open = (index * block_size..).zip(block).filter(|(_, open)| **open);
            for ((position, _), nats) in open.zip(&mut nats) {
                if let Some(cost) = costs.get_mut(position / self.len) {
                    *cost += weight * nats;
                }
            }
        }
        for (bound, cost) in self.bounds.iter_mut().zip(costs) {
            bound.add(self.len, self.len, cost)?;
        }
        Ok(())
    }

    /// What was found, from the first part of a window to its last.
    pub(crate) fn bounds(&self) -> Vec<PartBound> {
        let part = |(index, bound): (usize, &BoundAccumulator)| PartBound {
            from: index * self.len,
            nats: bound.nats_per_token(),
            error: bound.standard_error(),
        };
        self.bounds.iter().enumerate().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_by_hand() {
        let mut parts = Parts::new(8, 2).unwrap();
        // Blocks of 4: two of four open, which cost 1 + 3; one of four, which costs 5.
        let masked = [true, false, true, false, false, false, true, false];
        parts.add(&masked, 4, &[1.0, 3.0, 5.0]).unwrap();
        // One block of 8: 3 open positions stand for 8.
        parts.add(&masked, 8, &[3.0, 3.0, 6.0]).unwrap();
        let found = parts.bounds();
        assert_eq!((found[0].from, found[1].from), (0, 4));
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(near(found[0].nats, (2.0 + 8.0 / 3.0 * 6.0 / 4.0) / 2.0), "{found:?}");
        assert!(near(found[1].nats, (5.0 + 8.0 / 3.0 * 6.0 / 4.0) / 2.0), "{found:?}");
        assert!(Parts::new(8, 3).unwrap_err().to_string().contains("no 3 equal parts"));
        assert!(Parts::new(8, 0).unwrap().bounds().is_empty());
    }
}
