//! Plans that are chosen tile by tile, for patterns that no code of single positions can say.

use super::csr::{self, Csr};
use super::{PlanCost, TILE, TilePlan, Visibility};

impl TilePlan {
    /// The plan of one sequence in which query tile `q` reads all of key tile `k` where `reads(q, k)` holds, both
    /// counted in tiles of [`TILE`] positions from 0; it serves a batch of any size.
    ///
    /// The codes of such a plan allow every pair, so they decide nothing but the end of a key tile that is not whole.
    /// A rule in larger tiles is `reads` of the halved (or quartered) numbers.
    #[must_use]
    pub fn from_tiles(queries: usize, keys: usize, reads: impl Fn(usize, usize) -> bool) -> Self {
        let size = |length: usize, tile: usize| (length - tile * TILE).min(TILE) as u64;
        let key_tiles = keys.div_ceil(TILE);
        let mut cost = PlanCost::default();
        let mut rows = Vec::with_capacity(queries.div_ceil(TILE));
        let mut cols = vec![Vec::new(); key_tiles];
        for query_tile in 0..queries.div_ceil(TILE) {
            let mut row = Vec::new();
            for key_tile in (0..key_tiles).filter(|&key_tile| reads(query_tile, key_tile)) {
                let partial = size(keys, key_tile) < TILE as u64;
                cost.pairs += size(queries, query_tile) * size(keys, key_tile);
                cost.partial_tiles += u64::from(partial);
                cost.full_tiles += u64::from(!partial);
                row.push(csr::entry(key_tile, partial));
                cols[key_tile].push(csr::entry(query_tile, partial));
            }
            rows.push(row);
        }
        let codes = Visibility::dense(queries, keys);
        Self {
            sequences: 1,
            queries,
            keys,
            query_codes: codes.queries,
            key_codes: codes.keys,
            rows: Csr::from_rows(rows),
            cols: Csr::from_rows(cols),
            cost,
            #[cfg(feature = "cuda")]
            device: std::sync::OnceLock::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_everything_is_the_dense_plan() {
        for (queries, keys) in [(1, 1), (64, 64), (65, 200), (200, 65), (0, 70), (70, 0)] {
            let tiles = TilePlan::from_tiles(queries, keys, |_, _| true);
            let dense = TilePlan::new(&[Visibility::dense(queries, keys)]).unwrap();
            assert_eq!(tiles.rows(), dense.rows(), "{queries} x {keys}");
            assert_eq!(tiles.cols(), dense.cols(), "{queries} x {keys}");
            assert_eq!(tiles.cost(), dense.cost(), "{queries} x {keys}");
        }
    }

    #[test]
    fn only_the_chosen_tiles_are_listed() {
        // 3 query tiles (64, 64, 2) by 3 key tiles (64, 64, 7): the diagonal and the first column.
        let plan = TilePlan::from_tiles(130, 135, |q, k| q == k || k == 0);
        assert_eq!(plan.rows().offsets, [0, 1, 3, 5]);
        assert_eq!(plan.rows().entries, [0, 0, 1 << 1, 0, 2 << 1 | 1]);
        assert_eq!(plan.cols().offsets, [0, 3, 4, 5]);
        assert_eq!(plan.cols().entries, [0, 1 << 1, 2 << 1, 1 << 1, 2 << 1 | 1]);
        let cost = plan.cost();
        assert_eq!((cost.full_tiles, cost.partial_tiles), (4, 1));
        assert_eq!(cost.pairs, 64 * 64 + 2 * 64 * 64 + 2 * 64 + 2 * 7);
    }
}
