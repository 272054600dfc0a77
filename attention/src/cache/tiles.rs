//! Tiles of a text that a sparse plan can still read: the first ones for good, the others until they are too far back.

use drdiff_kernels::{KeyCode, QueryCode, TILE, TilePlan, Visibility};

use super::Piece;
use crate::{Error, LengthAdaptive, PassLayout, Result};

/// Slots of whole tiles: the tiles of the globals, then a ring in which a new tile takes the place of one that no
/// later query can read.
#[derive(Debug)]
pub(super) struct Tiles {
    plan: LengthAdaptive,
    block_size: usize,
    /// Tiles of the globals.
    fixed: usize,
    /// Tiles of the ring.
    ring: usize,
    /// The longest pass.
    pass: usize,
    /// Tiles of the longest text.
    text: usize,
    committed: usize,
}

impl Tiles {
    pub(super) fn new(plan: LengthAdaptive, block_size: usize, pass: usize, text: usize) -> Self {
        let whole = plan.cell / TILE;
        // From the farthest cell that the pass's first query reads, over its own, to the end of the pass, which may
        // begin and end within a tile.
        let ring = (plan.farthest(block_size) + 1) * whole + pass.div_ceil(TILE) + 1;
        Self {
            fixed: plan.globals * whole,
            ring,
            plan,
            block_size,
            pass,
            text: text.div_ceil(TILE),
            committed: 0,
        }
    }

    pub(super) fn committed(&self) -> usize {
        self.committed
    }

    /// Slots at most.
    pub(super) fn capacity(&self) -> usize {
        (self.fixed + self.ring).min(self.text) * TILE
    }

    /// Slots in use, whole tiles, when a pass of `len` positions is written.
    pub(super) fn used(&self, len: usize) -> usize {
        (self.committed + len).next_multiple_of(TILE).min(self.capacity())
    }

    pub(super) fn commit(&mut self, positions: usize) {
        self.committed += positions;
    }

    /// The slot, in tiles, of a tile of the text.
    pub(super) fn slot(&self, tile: usize) -> usize {
        match tile.checked_sub(self.fixed) {
            Some(behind) => self.fixed + behind % self.ring,
            None => tile,
        }
    }

    /// Where a pass of `len` positions is written: in one piece, or two where the ring ends.
    pub(super) fn pieces(&self, len: usize) -> Result<Vec<Piece>> {
        let full = |capacity, needed| Err(Error::CacheFull { capacity, needed });
        if len > self.pass {
            return full(self.pass, len);
        }
        if self.committed + len > self.text * TILE {
            return full(self.text * TILE, self.committed + len);
        }
        let mut pieces: Vec<Piece> = Vec::new();
        let mut from = 0;
        while from < len {
            let position = self.committed + from;
            let inside = position % TILE;
            let slot = self.slot(position / TILE) * TILE + inside;
            let count = (TILE - inside).min(len - from);
            match pieces.last_mut() {
                Some(last) if last.slot + last.len == slot => last.len += count,
                _ => pieces.push(Piece { from, slot, len: count }),
            }
            from += count;
        }
        Ok(pieces)
    }

    /// The plan of a pass. Its queries begin with padding up to the first position's place in its tile, its keys are the
    /// slots in use. Takes time for the cache, which is bounded, not for the text.
    pub(super) fn plan(&self, layout: PassLayout) -> Result<TilePlan> {
        let len = layout.clean + layout.noisy;
        if layout.committed != self.committed {
            return Err(Error::OtherPass {
                planned: layout.committed,
                committed: self.committed,
            });
        }
        let pass = crate::pass(PassLayout { committed: 0, ..layout })?;
        let lead = self.committed % TILE;
        let mut queries = vec![QueryCode::PADDING; lead];
        queries.extend(pass.queries);
        let committed = KeyCode { time: 0, group: -1 };
        let mut keys = vec![committed; self.used(len)];
        for piece in self.pieces(len)? {
            keys[piece.slot..piece.slot + piece.len].copy_from_slice(&pass.keys[piece.from..piece.from + piece.len]);
        }
        let end = self.committed + len;
        if !end.is_multiple_of(TILE) {
            // What a tile held before, or nothing yet.
            let slot = self.slot(end / TILE) * TILE;
            keys[slot + end % TILE..slot + TILE].fill(KeyCode::PADDING);
        }
        let (first, tiles) = (self.committed / TILE, end.div_ceil(TILE));
        Ok(TilePlan::from_lists(Visibility { queries, keys }, |row| {
            let read = self.plan.tiles(first + row, self.block_size, self.text);
            let here = read.into_iter().filter(|tile| *tile < tiles);
            let mut slots: Vec<usize> = here.map(|tile| self.slot(tile)).collect();
            slots.sort_unstable();
            slots
        })?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_costs_the_same_wherever_the_text_stands() {
        let block = 64;
        let pass = |committed: usize| {
            let mut tiles = Tiles::new(LengthAdaptive::default(), block, 256 + block, 1 << 50);
            tiles.commit(committed);
            let layout = PassLayout {
                committed,
                clean: block,
                clean_block: block,
                noisy: block,
            };
            let plan = tiles.plan(layout).unwrap();
            (plan.cost(), plan.keys(), plan.rows().offsets.clone())
        };
        let far = pass(50_000);
        // Past 2^24 positions, and past what 32 bits count.
        for cells in [1_000, 1 << 17, 1 << 18, 1 << 33] {
            assert_eq!(pass(50_000 + 128 * cells), far);
        }
        let (cost, keys, _) = far;
        assert_eq!(
            cost.full_tiles + cost.partial_tiles,
            3 * 18 + 1,
            "the clean block ends in the next tile"
        );
        assert_eq!(keys, (2 + 2 * 170 + 5 + 1) * TILE);
    }

    #[test]
    fn a_plan_for_another_pass_is_refused() {
        let tiles = Tiles::new(LengthAdaptive::default(), 16, 32, 20);
        let layout = PassLayout {
            committed: 16,
            clean: 16,
            clean_block: 16,
            noisy: 16,
        };
        assert!(matches!(
            tiles.plan(layout),
            Err(Error::OtherPass {
                planned: 16,
                committed: 0
            })
        ));
        assert!(tiles.pieces(32).is_ok(), "whole tiles");
        assert!(matches!(
            tiles.pieces(33),
            Err(Error::CacheFull {
                capacity: 32,
                needed: 33
            })
        ));
    }
}
