//! DrDiff's length-adaptive attention: which cells of a text a query reads is decided by the length of the text alone.
//!
//! The paper (arXiv 2509.02785) switches between masks at three lengths: full attention for short texts, then a band
//! with dilated positions and global ones, with more dilation for longer texts; its numbers are not known. Ours are
//! counted in cells of 128 positions, which are two tiles of the kernel: everything up to 1,024 positions, then a band,
//! dilated rings (each begins where the one inside it ends, as in LongNet's geometric dilation, arXiv 2307.02486), and
//! the first cell of the text, which everyone reads (Longformer's globals, arXiv 2004.05150, on the side of the keys
//! only, so that cost stays linear).
//!
//! The band is as wide as rings and globals leave room for: to each side a query reads as many cells as a text that is
//! read whole has, 8 besides its own, whichever they are. So cost does not grow with the text, and nothing
//! jumps where a text becomes too long to be read whole.

mod plans;

use drdiff_kernels::TILE;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The most that a number of a plan may be: more than any text has positions, and few enough to be multiplied.
pub(crate) const FARTHEST: usize = 1 << 24;

/// Cells at equal distances from each other, to both sides of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ring {
    /// Texts longer than this, in positions, have the ring.
    pub from: usize,
    /// Cells from one that is read to the next.
    pub rate: usize,
    /// Cells that are read to each side.
    pub cells: usize,
}

/// The numbers of the plan.
///
/// Everything is counted from the start of the text, and for each query cell by what is known when it is written: how
/// long the text is with that cell, or with the block of positions that see each other both ways if that is longer.
/// So a text that is written block after block reads the same cells as one that is trained on whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LengthAdaptive {
    /// Texts of up to so many positions are read whole; of longer ones as much is read to each side.
    pub dense: usize,
    /// Positions of a cell, a multiple of 64.
    pub cell: usize,
    /// Cells that are read next to a query's own, to each side, at least; rings begin behind them.
    pub band: usize,
    /// First cells of the text, which all read.
    pub globals: usize,
    /// Dilated rings, from the inside out.
    pub rings: Vec<Ring>,
}

impl Default for LengthAdaptive {
    fn default() -> Self {
        let ring = |from, rate| Ring { from, rate, cells: 2 };
        Self {
            dense: 1024,
            cell: 128,
            band: 1,
            globals: 1,
            rings: vec![ring(1024, 4), ring(4096, 16), ring(8192, 64)],
        }
    }
}

impl LengthAdaptive {
    /// Checks that the numbers make a plan.
    ///
    /// # Errors
    /// Names the first that does not.
    pub fn validate(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::LengthAdaptive(what));
        let numbers = [self.dense, self.cell, self.band, self.globals];
        let of_rings = self.rings.iter().flat_map(|ring| [ring.from, ring.rate, ring.cells]);
        let far: usize = self
            .rings
            .iter()
            .map(|ring| ring.rate.saturating_mul(ring.cells))
            .fold(0, usize::saturating_add);
        if let Some(number) = numbers
            .into_iter()
            .chain(of_rings)
            .chain([far])
            .find(|number| *number > FARTHEST)
        {
            return wrong(format!("a number of {number}; give at most {FARTHEST}"));
        }
        if self.cell == 0 || !self.cell.is_multiple_of(TILE) {
            return wrong(format!("a cell of {} positions; give a multiple of {TILE}", self.cell));
        }
        let thresholds = std::iter::once(self.dense).chain(self.rings.iter().map(|ring| ring.from));
        if let Some(from) = thresholds.clone().find(|from| !from.is_multiple_of(self.cell)) {
            return wrong(format!(
                "a threshold of {from} positions; give multiples of a cell's {}",
                self.cell
            ));
        }
        if !thresholds.is_sorted() {
            return wrong("thresholds that fall; give them ascending, from `dense` on".to_owned());
        }
        if let Some(ring) = self.rings.iter().find(|ring| ring.rate == 0 || ring.cells == 0) {
            return wrong(format!(
                "a ring of {} cells at a rate of {}; give both at least 1",
                ring.cells, ring.rate
            ));
        }
        Ok(())
    }

    /// Cells to each side that are read in any case, so that blocks of `block` positions see themselves whole.
    fn near(&self, block: usize) -> usize {
        if block <= self.dense {
            self.band.max(block.div_ceil(self.cell))
        } else {
            self.band
        }
    }

    /// The farthest cell, counted back from a query's own, that any query reads besides the globals.
    #[must_use]
    pub fn farthest(&self, block: usize) -> usize {
        let rings: usize = self.rings.iter().map(|ring| ring.rate * ring.cells).sum();
        (self.dense / self.cell).max(self.near(block)).max(self.band + rings)
    }

    /// The most cells that any query reads, whatever the length of the text.
    #[must_use]
    pub fn most(&self, block: usize) -> usize {
        let far: usize = self.rings.iter().map(|ring| ring.cells).sum();
        let side = |globals: usize| (self.dense / self.cell).max(self.near(block) + far + globals);
        side(self.globals) + 1 + side(0)
    }

    /// The cells that queries in `cell` read in a text of `cells` cells, in ascending order, if it is written in blocks
    /// of `block` positions that see themselves both ways (one block, for a text that is denoised whole). Layouts allow
    /// less: the cells behind a query's block, and the rest of a block's last cell, are not there yet.
    ///
    /// Takes time for the cells that are read, not for those of the text.
    #[must_use]
    pub fn cells(&self, cell: usize, block: usize, cells: usize) -> Vec<usize> {
        let length = ((cell + 1) * self.cell).max(block);
        let back = |far: usize| cell.checked_sub(far);
        // Where the text comes block after block, cells behind its end count as read, so that it does not matter how
        // much of it is there.
        let whole = block.div_ceil(self.cell) >= cells;
        let ahead = |far: usize| Some(cell + far).filter(|read| !whole || *read < cells);
        let mut read = self.side(length, block, (0..self.globals.min(cell)).collect(), back);
        read.push(cell);
        read.extend(self.side(length, block, Vec::new(), ahead));
        read.retain(|read| *read < cells);
        read.sort_unstable();
        read
    }

    /// The cells of one side of a query in a text of `length` positions, `read` among them, where `at` says which cell
    /// lies so far away, if there is one.
    fn side(
        &self,
        length: usize,
        block: usize,
        mut read: Vec<usize>,
        at: impl Fn(usize) -> Option<usize>,
    ) -> Vec<usize> {
        let mut start = self.band;
        for ring in &self.rings {
            if length > ring.from {
                for index in 1..=ring.cells {
                    read.extend(at(start + ring.rate * index).filter(|cell| !read.contains(cell)));
                }
            }
            start += ring.rate * ring.cells;
        }
        let (near, budget) = (self.near(block), self.dense / self.cell);
        for far in 1.. {
            let Some(cell) = at(far).filter(|_| far <= near || read.len() < budget) else {
                break;
            };
            if !read.contains(&cell) {
                read.push(cell);
            }
        }
        read
    }

    /// The tiles of [`Self::cells`] for the query tile `tile` in a text of `tiles` tiles.
    #[must_use]
    pub fn tiles(&self, tile: usize, block: usize, tiles: usize) -> Vec<usize> {
        let whole = self.cell / TILE;
        self.cells(tile / whole, block, tiles.div_ceil(whole))
            .into_iter()
            .flat_map(|cell| cell * whole..((cell + 1) * whole).min(tiles))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_numbers_are_refused() {
        let message = |change: fn(&mut LengthAdaptive)| {
            let mut numbers = LengthAdaptive::default();
            change(&mut numbers);
            numbers.validate().unwrap_err().to_string()
        };
        assert!(LengthAdaptive::default().validate().is_ok());
        assert!(message(|n| n.cell = 100).contains("multiple of 64"));
        assert!(message(|n| n.dense = 1000).contains("multiples of a cell"));
        assert!(message(|n| n.rings[2].from = 2048).contains("ascending"));
        assert!(message(|n| n.rings[0].rate = 0).contains("at least 1"));
    }

    #[test]
    fn rings_appear_at_their_thresholds_and_the_band_gives_way() {
        let plan = LengthAdaptive::default();
        let whole = |n: usize, cell: usize| plan.cells(cell, n, n.div_ceil(128));
        assert_eq!(whole(1024, 3), (0..8).collect::<Vec<_>>(), "everything");
        // 8 cells to each side: the first ring at 1 + 4 and 1 + 8, the first cell behind, and the nearest.
        let back = [0, 6, 9, 10, 11, 12, 13, 14];
        assert_eq!(
            whole(4096, 15),
            [&back[..], &[15], &[16, 17, 18, 19, 20, 21, 22, 24]].concat()
        );
        // The second ring, at 9 + 16 and 9 + 32, from 4,096 positions on.
        assert_eq!(whole(4097, 26)[..8], [0, 1, 17, 21, 22, 23, 24, 25]);
        assert_eq!(whole(8192, 50)[..9], [0, 9, 25, 41, 45, 47, 48, 49, 50]);
        let far = [
            31, 95, 159, 175, 191, 195, 199, 200, 201, 202, 205, 209, 225, 241, 305, 369,
        ];
        assert_eq!(whole(1 << 20, 200), [&[0][..], &far].concat());
    }

    #[test]
    fn small_blocks_grow_with_the_text() {
        let plan = LengthAdaptive::default();
        assert_eq!(
            plan.cells(7, 16, 8),
            (0..8).collect::<Vec<_>>(),
            "the first 1,024 positions"
        );
        let back = |cell| -> Vec<usize> { plan.cells(cell, 16, cell + 1) };
        assert_eq!(back(8), (0..9).collect::<Vec<_>>(), "nothing is lost at once");
        assert_eq!(back(9), [0, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(back(31), [0, 22, 25, 26, 27, 28, 29, 30, 31]);
        assert_eq!(
            back(32),
            [0, 7, 23, 27, 28, 29, 30, 31, 32],
            "the second ring, from 4,096 positions on"
        );
        assert_eq!(back(64), [0, 23, 39, 55, 59, 61, 62, 63, 64]);
        assert_eq!(back(200), [0, 31, 95, 159, 175, 191, 195, 199, 200]);
        // A block sees itself whole, however its cells lie.
        assert!((0..=4).all(|far| plan.cells(100, 500, 200).contains(&(100 + far))));
    }

    #[test]
    fn the_tiles_of_a_query_are_bounded_for_every_length() {
        const LONGEST: usize = 1 << 24;
        let plan = LengthAdaptive::default();
        let tiles = LONGEST / TILE;
        // Both ways: a text of 2^24 positions that is denoised whole.
        let whole = (0..tiles).map(|tile| plan.tiles(tile, LONGEST, tiles).len()).max();
        assert_eq!(whole, Some(34));
        // Backward only: what a block of a text sees that is written up to there, at every length on the way. It is
        // the same number from the ninth cell on.
        for block in [1, 64] {
            let counts = (0..tiles).map(|tile| plan.tiles(tile, block, tile / 2 * 2 + 2).len());
            let (start, rest): (Vec<_>, Vec<_>) = counts.enumerate().partition(|(tile, _)| *tile < 16);
            assert!(start.iter().all(|(tile, read)| *read == tile / 2 * 2 + 2));
            assert!(rest.iter().all(|(_, read)| *read == 18));
        }
        for (block, most) in [(1, 34), (256, 36), (1024, 60), (2048, 34), (LONGEST, 34)] {
            assert_eq!(2 * plan.most(block), most, "{block}");
            let read = (0..tiles)
                .step_by(97)
                .map(|tile| plan.tiles(tile, block, tiles).len())
                .max();
            assert!(read <= Some(most), "{block}: {read:?}");
        }
    }

    #[test]
    fn nothing_but_globals_lies_beyond_the_farthest() {
        let plan = LengthAdaptive::default();
        for block in [1, 256, 1024] {
            for cell in (0..3000).step_by(7) {
                let read = plan.cells(cell, block, cell + 1);
                let first = read.iter().find(|read| **read >= plan.globals).copied();
                assert!(
                    first.is_none_or(|first| cell - first <= plan.farthest(block)),
                    "{block} {cell}"
                );
            }
        }
    }
}
