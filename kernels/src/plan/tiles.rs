//! Plans that are chosen tile by tile, for patterns that no code of single positions can say.

use super::{Csr, PlanCost, TILE, TilePlan, Visibility, csr};
use crate::{Error, Result};

impl TilePlan {
    /// The plan of one sequence in which query tile `q` reads all of key tile `k` where `reads(q, k)` holds, both
    /// counted in tiles of [`TILE`] positions from 0; it serves a batch of any size.
    ///
    /// The codes of such a plan allow every pair, so they decide nothing but the end of a key tile that is not whole.
    /// A rule in larger tiles is `reads` of the halved (or quartered) numbers.
    #[must_use]
    pub fn from_tiles(queries: usize, keys: usize, reads: impl Fn(usize, usize) -> bool) -> Self {
        let key_tiles = keys.div_ceil(TILE);
        Self::assemble(&[Visibility::dense(queries, keys)], |query| {
            (0..key_tiles).filter(|&key| reads(query, key)).collect::<Vec<_>>()
        })
    }

    /// The plan of one sequence of whole tiles in which query tile `q` reads all of the key tile `reads[q]`, one of
    /// `key_tiles`, and nothing else; it serves a batch of any size. Takes time for tiles, not for positions: no code would
    /// decide anything, so there are none.
    ///
    /// # Errors
    /// [`Error::Plan`] if a key tile is not there.
    pub fn one_tile_each(reads: &[u32], key_tiles: usize) -> Result<Self> {
        if let Some(tile) = reads.iter().find(|tile| **tile as usize >= key_tiles) {
            return Err(Error::Plan(format!("key tile {tile} is not one of {key_tiles}")));
        }
        let rows = Csr {
            offsets: (0..=reads.len() as u32).collect(),
            entries: reads.iter().map(|tile| csr::entry(*tile as usize, false)).collect(),
        };
        Ok(Self {
            sequences: 1,
            queries: reads.len() * TILE,
            keys: key_tiles * TILE,
            query_codes: Vec::new(),
            key_codes: Vec::new(),
            cols: rows.transposed(key_tiles),
            rows,
            cost: PlanCost {
                full_tiles: reads.len() as u64,
                partial_tiles: 0,
                pairs: (reads.len() * TILE * TILE) as u64,
            },
            seats: Vec::new(),
            query_by_query: false,
            #[cfg(feature = "cuda")]
            device: std::sync::OnceLock::new(),
        })
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

    #[test]
    fn one_tile_each_is_what_lists_of_one_tile_say() {
        for (reads, key_tiles) in [(vec![0], 1), (vec![0, 0, 2, 1, 2, 2], 4), (vec![], 0), (vec![], 3)] {
            let each = TilePlan::one_tile_each(&reads, key_tiles).unwrap();
            let dense = Visibility::dense(reads.len() * TILE, key_tiles * TILE);
            let lists = TilePlan::from_lists(dense, |tile| vec![reads[tile] as usize]).unwrap();
            assert_eq!(
                (each.queries(), each.keys()),
                (lists.queries(), lists.keys()),
                "{reads:?}"
            );
            assert_eq!(
                (each.rows(), each.cols(), each.cost()),
                (lists.rows(), lists.cols(), lists.cost()),
                "{reads:?}"
            );
        }
        let message = TilePlan::one_tile_each(&[0, 3], 3).unwrap_err().to_string();
        assert!(message.contains("key tile 3 is not one of 3"), "{message}");
    }
}
