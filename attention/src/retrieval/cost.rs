//! What retrieval costs.

use super::encoder::hidden;
use super::{CHUNK, Retrieval, Units};
use crate::Shape;

impl Retrieval {
    /// Floating-point operations, forward only, of what a network of `depth` layers does for retrieval in a pass of one
    /// sequence: encoding the pass's own chunks, choosing, and attending in each layer that retrieves. Two for each pair
    /// of numbers that are multiplied and added.
    #[must_use]
    pub fn flops(&self, shape: Shape, depth: usize, units: &Units) -> u64 {
        let Shape {
            width,
            heads,
            kv_heads,
            head_dim,
            ..
        } = shape;
        let (all, shared) = (heads * head_dim, kv_heads * head_dim);
        let reading = 2 * CHUNK * all;
        let maps = width * (2 * all + 2 * shared) + 3 * width * hidden(width) + 2 * width * shared;
        let encoded = units.fresh() * CHUNK;
        let encoder = encoded * (maps + reading) + encoded / CHUNK * (reading + all * self.landmark);

        let mut layer = units.rows() * width * (2 * all + self.landmark);
        for unit in units.units() {
            let candidates = unit.candidates().count();
            let chosen = candidates.min(self.top_k);
            layer += unit.rows.len() * chosen * (reading + self.landmark + all);
        }
        2 * (encoder + self.retrieving(depth) * layer) as u64 + self.scoring_flops(depth, units)
    }

    /// The part of [`Retrieval::flops`] that grows with what stands before the pass: scoring landmarks.
    #[must_use]
    pub fn scoring_flops(&self, depth: usize, units: &Units) -> u64 {
        self.retrieving(depth) as u64 * self.scoring(units)
    }

    /// Operations of scoring in one layer: a product of each row with the landmark of each chunk that it may choose,
    /// however many rows choose together. Scores that [`select`](super::select) makes of other chunks, or twice to fill up a small
    /// unit, are left out like the forbidden pairs in a tile of attention.
    #[must_use]
    pub fn scoring(&self, units: &Units) -> u64 {
        let scores = units
            .units()
            .iter()
            .map(|unit| unit.rows.len() * unit.candidates().count());
        2 * (scores.sum::<usize>() * self.landmark) as u64
    }

    /// How many of `depth` layers retrieve.
    fn retrieving(&self, depth: usize) -> usize {
        self.layers(depth).map_or(0, |layers| layers.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PassLayout;

    #[test]
    fn a_pass_costs_the_same_wherever_the_text_stands_but_for_the_landmarks() {
        let shape = Shape {
            width: 64,
            heads: 2,
            kv_heads: 1,
            head_dim: 32,
            norm_eps: Some(1e-6),
            bias: false,
        };
        let numbers = Retrieval::default();
        let costs = |committed| {
            let layout = PassLayout {
                committed,
                clean: 32,
                clean_block: 32,
                noisy: 32,
            };
            let units = Units::pass(layout, (32, 1 << 30), numbers.local).unwrap();
            assert_eq!((units.units().len(), units.fresh()), (2, 1));
            (numbers.flops(shape, 12, &units), numbers.scoring_flops(12, &units))
        };
        // 2 layers, 64 rows, 2 operations for each number of the landmarks of 15,000 more chunks.
        let (near, far) = (costs(64 * 100 + 32), costs(64 * 15_100 + 32));
        assert_eq!(far.1 - near.1, 2 * 64 * 2 * 128 * 15_000);
        assert_eq!(far.0 - far.1, near.0 - near.1, "all but scoring is the same");
    }

    #[test]
    fn every_row_scores_whether_rows_choose_together_or_alone() {
        let numbers = Retrieval {
            landmark: 3,
            local: 64,
            ..Retrieval::default()
        };
        let units = |together| Units::whole(256, 64).unwrap().choosing(together);
        assert_eq!((units(64).units().len(), units(1).units().len()), (4, 256));
        // 64 rows of each of 4 chunks, of which the outer ones see 2 beyond the band and the inner ones 1.
        for together in [64, 16, 1] {
            assert_eq!(numbers.scoring(&units(together)), 2 * 64 * (2 + 1 + 1 + 2) * 3);
        }
        // As many layers as groups.
        let one = Retrieval { groups: 1, ..numbers };
        assert_eq!(one.scoring_flops(4, &units(64)), one.scoring(&units(64)));
        assert_eq!(numbers.scoring_flops(4, &units(64)), 2 * one.scoring(&units(64)));
    }

    #[test]
    fn a_text_is_counted_by_hand() {
        let shape = Shape {
            width: 3,
            heads: 2,
            kv_heads: 1,
            head_dim: 2,
            norm_eps: Some(1e-6),
            bias: false,
        };
        let numbers = Retrieval {
            top_k: 1,
            local: 64,
            groups: 2,
            landmark: 5,
            ..Retrieval::default()
        };
        // 4 chunks: the first two and the last two see beyond the band, the outer ones 2 chunks, the inner ones 1.
        let units = Units::whole(256, 64).unwrap();
        // Queries, keys, values (8 numbers) and back (4); gate and value (2 x 64) and back; keys and values (4).
        let maps = 3 * 8 + 4 * 3 + 3 * 128 + 64 * 3 + 3 * 4;
        // Attention within 64 positions: 2 products over 2 heads of 2.
        let reading = 64 * 4 * 2;
        let encoder = 256 * (maps + reading) + 4 * (reading + 4 * 5);
        let layer = 256 * (3 * 4 + 4 * 3 + 3 * 5) + 64 * (2 + 1 + 1 + 2) * 5 + 256 * (reading + 5 + 4);
        assert_eq!(numbers.flops(shape, 4, &units), 2 * (encoder + 2 * layer) as u64);
    }
}
