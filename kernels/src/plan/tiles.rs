//! Plans that are chosen tile by tile, for patterns that no code of single positions can say.

use super::{TILE, TilePlan, Visibility};

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
