//! Which positions a query reads one by one, and which nodes it reads by their means.

use std::ops::Range;

use drdiff_kernels::{KeyCode, QueryCode, TILE, TilePlan, Visibility};

use crate::tree::check;
use crate::{Error, LengthAdaptive, Result, TreeConfig};

/// The tree of a text in blocks of one size. Level 0 are the lowest nodes.
///
/// What is read depends on a query's lowest node and on the size of blocks, never on where blocks begin: a query reads
/// its own lowest node and as many before it, position by position, as its block may reach back into. So a
/// text that goes on behind any prompt reads as it did in training.
#[derive(Debug, Clone)]
pub(crate) struct CausalRule {
    /// As [`TreeConfig::branching`].
    branching: Vec<usize>,
    /// Lowest nodes before a query's own that are read position by position.
    behind: usize,
}

/// Where a level keeps its nodes: families of siblings, each in whole tiles, in a ring of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seats {
    pub(crate) level: usize,
    /// Siblings of a whole family.
    pub(crate) siblings: usize,
    /// Families that have room.
    pub(crate) families: usize,
}

impl Seats {
    /// Seats of a family.
    pub(crate) fn room(&self) -> usize {
        self.siblings.next_multiple_of(TILE)
    }

    /// All seats.
    pub(crate) fn count(&self) -> usize {
        self.families * self.room()
    }

    /// The seat of a node.
    pub(crate) fn of(&self, node: usize) -> usize {
        node / self.siblings % self.families * self.room() + node % self.siblings
    }
}

impl CausalRule {
    /// The rule of a text of up to `text` positions in blocks of `block`.
    ///
    /// # Errors
    /// If the numbers make no tree, or its lowest nodes are not made of whole tiles.
    pub(crate) fn new(numbers: &TreeConfig, block: usize, text: usize) -> Result<Self> {
        check(&numbers.branching, numbers.near)?;
        let leaf = numbers.branching[0];
        if !leaf.is_multiple_of(TILE) {
            return Err(Error::TreeBlocks {
                block_size: block,
                len: text,
                leaf,
            });
        }
        // A block of b positions begins at most b - 1 before each of its own.
        let reach = block.saturating_sub(1).div_ceil(leaf);
        Ok(Self {
            branching: numbers.branching.clone(),
            behind: numbers.near.max(reach).min(text.div_ceil(leaf)),
        })
    }

    /// Positions of a lowest node.
    pub(crate) fn leaf(&self) -> usize {
        self.branching[0]
    }

    /// Nodes of `level` that have one parent.
    pub(crate) fn siblings(&self, level: usize) -> usize {
        let last = self.branching[self.branching.len() - 1];
        self.branching.get(level + 1).copied().unwrap_or(last)
    }

    /// Lowest nodes below a node of `level`.
    pub(crate) fn leaves(&self, level: usize) -> usize {
        let below = (0..level).map(|level| self.siblings(level));
        below.fold(1, usize::saturating_mul)
    }

    /// Positions below a node of `level`.
    pub(crate) fn span(&self, level: usize) -> usize {
        self.leaf().saturating_mul(self.leaves(level))
    }

    /// The first lowest node that a query at `position` reads position by position.
    pub(crate) fn first(&self, position: usize) -> usize {
        (position / self.leaf()).saturating_sub(self.behind)
    }

    /// The nodes of `level` that a query at `position` reads by their means: left siblings on the path from the root to
    /// its first exact node.
    pub(crate) fn nodes(&self, position: usize, level: usize) -> Range<usize> {
        let (end, siblings) = (self.first(position) / self.leaves(level), self.siblings(level));
        end / siblings * siblings..end
    }

    /// Levels of which anybody reads nodes in a text of `text` positions.
    pub(crate) fn levels(&self, text: usize) -> usize {
        let read = self.first(text.saturating_sub(1));
        (0..).take_while(|level| self.leaves(*level) <= read).count()
    }

    /// What is read position by position, as far as the layout allows: a band of lowest nodes.
    pub(crate) fn band(&self) -> LengthAdaptive {
        LengthAdaptive {
            dense: 0,
            cell: self.leaf(),
            band: self.behind,
            globals: 0,
            rings: Vec::new(),
        }
    }

    /// Seats for the nodes that queries within `pass` positions of a text of `text` read, wherever those stand.
    pub(crate) fn seats(&self, level: usize, pass: usize, text: usize) -> Seats {
        let family = self.span(level + 1);
        // A pass may begin and end within a family; the node before those that its first query reads enters with it.
        let touched = (pass + 2 * self.leaf()).div_ceil(family) + 1;
        Seats {
            level,
            siblings: self.siblings(level),
            families: touched.min(text.div_ceil(family)).max(1),
        }
    }

    /// The plan of the nodes of a level for `queries` queries, of which the first `lead` are padding; those of query tile t
    /// stand at and behind `position(t)`, in one lowest node.
    ///
    /// # Errors
    /// If the numbers make no plan.
    pub(crate) fn plan(
        &self,
        seats: Seats,
        (lead, queries): (usize, usize),
        position: impl Fn(usize) -> usize,
    ) -> Result<TilePlan> {
        let read = |tile: usize| self.nodes(position(tile), seats.level);
        let query = |at: usize| match at < lead {
            true => QueryCode::PADDING,
            false => QueryCode {
                limit: read(at / TILE).len() as i32 - 1,
                group: -1,
            },
        };
        // A node's time is its place among its siblings; which family is read, the lists say.
        let key = |seat: usize| match seat % seats.room() {
            place if place < seats.siblings => KeyCode {
                time: place as i32,
                group: -1,
            },
            _ => KeyCode::PADDING,
        };
        let sequence = Visibility {
            queries: (0..queries).map(query).collect(),
            keys: (0..seats.count()).map(key).collect(),
        };
        Ok(TilePlan::from_lists(sequence, |tile| {
            let nodes = read(tile);
            let first = seats.of(nodes.start) / TILE;
            (first..first + nodes.len().div_ceil(TILE)).collect()
        })?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(branching: &[usize], near: usize, block: usize, text: usize) -> CausalRule {
        let numbers = TreeConfig {
            branching: branching.to_vec(),
            near,
        };
        CausalRule::new(&numbers, block, text).unwrap()
    }

    #[test]
    fn everything_before_a_query_is_read_once() {
        for (branching, near, block) in [
            (&[64, 2, 3][..], 0, 16),
            (&[64, 4], 2, 1),
            (&[128, 3], 0, 200),
            (&[64, 64], 0, 64),
        ] {
            let rule = rule(branching, near, block, 1 << 16);
            for position in (0..9_000).step_by(37) {
                let mut read: Vec<usize> = (0..rule.levels(position + 1))
                    .flat_map(|level| {
                        let span = rule.span(level);
                        rule.nodes(position, level)
                            .flat_map(move |node| node * span..(node + 1) * span)
                    })
                    .collect();
                read.sort_unstable();
                let exact = rule.first(position) * rule.leaf();
                assert!(read.into_iter().eq(0..exact), "{branching:?} {position}");
                assert!(
                    exact <= (position + 1).saturating_sub(block),
                    "whatever the block may hold is read position by position"
                );
            }
        }
    }

    #[test]
    fn what_a_query_reads_is_bounded_for_every_length() {
        const LONGEST: usize = 1 << 24;
        for (block, near) in [(1, 0), (16, 0), (64, 0), (16, 1), (1024, 0)] {
            let rule = rule(&[64], near, block, LONGEST);
            let around = near.max((block - 1usize).div_ceil(64));
            assert_eq!(rule.levels(LONGEST), 3);
            let (band, tiles) = (rule.band(), LONGEST / TILE);
            for tile in 0..tiles {
                let exact = band.tiles(tile, block, tiles).len();
                assert!(exact <= 2 * around + 1, "{block} {tile}: {exact}");
                for level in 0..3 {
                    assert!(rule.nodes(tile * TILE, level).len() <= 63, "one tile a level");
                }
            }
        }
    }

    #[test]
    fn a_level_takes_one_tile_of_a_pass_wherever_the_text_stands() {
        let (block, text) = (64, 1 << 50);
        let rule = rule(&[64], 0, block, text);
        for position in [1 << 13, 1 << 24, (1 << 40) + 64 * 777] {
            for level in 0..rule.levels(position) {
                let seats = rule.seats(level, 2 * block, text);
                assert!(seats.count() <= 2 * TILE);
                let plan = rule.plan(seats, (0, 2 * block), |tile| position + tile * TILE).unwrap();
                assert!(plan.rows().entries.len() <= 2, "a tile for each of queries");
            }
        }
    }

    #[test]
    fn families_that_are_not_whole_tiles_are_seated_apart() {
        let rule = rule(&[64, 3], 0, 1, 1 << 12);
        let seats = Seats {
            level: 0,
            siblings: 3,
            families: 2,
        };
        assert_eq!([0, 2, 3, 5, 6].map(|node| seats.of(node)), [0, 2, 64, 66, 0]);
        let plan = rule.plan(seats, (0, 64), |_| 5 * 64).unwrap();
        assert_eq!((plan.cost().pairs, plan.rows().row(0)), (64 * 2, &[1 << 1 | 1][..]));
    }

    #[test]
    fn lowest_nodes_within_a_tile_are_refused() {
        let numbers = TreeConfig {
            branching: vec![24],
            near: 0,
        };
        let message = CausalRule::new(&numbers, 16, 640).unwrap_err().to_string();
        assert!(
            message.contains("multiple of 64") && message.contains("blocks of 640"),
            "{message}"
        );
    }
}
