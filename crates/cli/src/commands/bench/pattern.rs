//! The attention plans that can be measured.

use std::sync::Arc;

use anyhow::Result;
use clap::ValueEnum;
use drdiff_attention::retrieval::Retrieval;
use drdiff_attention::{CausalTree, LengthAdaptive, Reads, Tree, TreeConfig, block_causal, noisy_clean};
use drdiff_kernels::{TILE, TilePlan, Visibility};

use crate::exit::usage;

/// Positions of a tile of the ring, which is two tiles of a plan: FlexAttention takes masks in no smaller ones.
const RING_TILE: usize = 128;

/// Who sees whom among N positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Pattern {
    /// Everyone sees everyone
    Dense,
    /// The length-adaptive plan of a text that is denoised whole: what models with that plan use
    #[value(name = "length_adaptive", alias = "length-adaptive")]
    LengthAdaptive,
    /// Siblings of a tree of --branching share weights, --near of them are read exactly
    Tree,
    /// The tree in the training layout of N/2 noisy and N/2 clean positions in blocks
    TreeBlocks,
    /// A band of 128 to each side, and the 8 chunks of 64 whose landmarks fit best: a layer of the plan of that name
    Retrieval,
    /// Tiles of 64 see the tiles within --window positions
    Band,
    /// Training layout of N/2 noisy and N/2 clean positions
    NoisyClean,
    /// Blocks see themselves and earlier blocks
    BlockCausal,
    /// Tiles of 128 see their neighbours, every 4th within 17, every 16th within 81, and the first two
    Ring,
}

/// What a pattern needs besides its length.
#[derive(Debug, Clone)]
pub(super) struct Options {
    /// Positions of a block.
    pub(super) block_size: usize,
    /// Positions to each side in a band.
    pub(super) window: usize,
    /// Of the tree.
    pub(super) tree: TreeConfig,
}

impl Pattern {
    /// The name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::LengthAdaptive => "length_adaptive",
            Self::Tree => "tree",
            Self::TreeBlocks => "tree-blocks",
            Self::Retrieval => "retrieval",
            Self::Band => "band",
            Self::NoisyClean => "noisy-clean",
            Self::BlockCausal => "block-causal",
            Self::Ring => "ring",
        }
    }

    /// What `n` positions read: for retrieval what its band does.
    ///
    /// # Errors
    /// If the pattern has no such length, block size or tree.
    pub(super) fn reads(self, n: usize, options: &Options) -> Result<Reads> {
        let block_size = options.block_size;
        let plan = match self {
            Self::Tree => {
                let TreeConfig { branching, near } = &options.tree;
                let tree = Tree::new(n, branching, *near).map_err(|error| usage(error.to_string()))?;
                return Ok(Reads::Trees {
                    tree: Arc::new(tree),
                    texts: 1,
                });
            }
            Self::TreeBlocks => {
                let half = half(self, n)?;
                let tree = CausalTree::noisy_clean(&options.tree, half, fitting(block_size, half)?);
                return tree.map_err(|error| usage(error.to_string()));
            }
            Self::Dense => TilePlan::new(&[Visibility::dense(n, n)])?,
            Self::LengthAdaptive => LengthAdaptive::default().whole(n)?,
            Self::Retrieval => Retrieval::default().band().whole(n)?,
            Self::Band => {
                let (reach, tiles) = (options.window / TILE, n.div_ceil(TILE));
                let near = |q: usize| (q.saturating_sub(reach)..tiles.min(q + reach + 1)).collect();
                TilePlan::from_lists(Visibility::dense(n, n), near)?
            }
            Self::Ring => {
                let tiles = n.div_ceil(TILE);
                TilePlan::from_lists(Visibility::dense(n, n), |q| ring(q * TILE / RING_TILE, tiles))?
            }
            Self::BlockCausal => TilePlan::new(&[block_causal(n, fitting(block_size, n)?)?])?,
            Self::NoisyClean => {
                let half = half(self, n)?;
                TilePlan::new(&[noisy_clean(half, fitting(block_size, half)?)?])?
            }
        };
        Ok(Reads::Tiles(Arc::new(plan)))
    }
}

/// Positions of each half of a training layout of `n`.
fn half(pattern: Pattern, n: usize) -> Result<usize> {
    if n % 2 == 1 {
        let name = pattern.name();
        return Err(usage(format!(
            "{name} has two equal halves and {n} is odd; give an even length"
        )));
    }
    Ok(n / 2)
}

fn fitting(block_size: usize, positions: usize) -> Result<usize> {
    if block_size > positions {
        return Err(usage(format!(
            "blocks of {block_size} do not fit {positions} positions; choose a smaller --block-size"
        )));
    }
    Ok(block_size)
}

/// A band of one tile, a ring of every 4th within 17 tiles, one of every 16th within 81, and 2 tiles for all: the tiles
/// of a plan that a tile of the ring reads, of `tiles` there are.
fn ring(query: usize, tiles: usize) -> Vec<usize> {
    let distances = [0, 1, 5, 9, 13, 17, 33, 49, 65, 81];
    let mut keys: Vec<usize> = distances
        .iter()
        .flat_map(|far| [query.checked_sub(*far), Some(query + far)])
        .flatten()
        .chain(0..2)
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let whole = RING_TILE / TILE;
    keys.into_iter()
        .flat_map(|key| key * whole..(key + 1) * whole)
        .filter(|tile| *tile < tiles)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(pattern: Pattern, n: usize) -> Result<Reads> {
        let options = Options {
            block_size: 16,
            window: 128,
            tree: TreeConfig::default(),
        };
        pattern.reads(n, &options)
    }

    #[test]
    fn names_are_those_of_the_command_line() {
        for pattern in Pattern::value_variants() {
            assert_eq!(pattern.to_possible_value().unwrap().get_name(), pattern.name());
        }
    }

    #[test]
    fn pairs_are_those_of_the_rule() {
        let pairs = |pattern: Pattern, n| reads(pattern, n).unwrap().pairs();
        assert_eq!(pairs(Pattern::Dense, 100), 10_000);
        // 2 tiles of 64 to each side of each of 8.
        assert_eq!(pairs(Pattern::Band, 512), (8 * 5 - 2 * 3) * 64 * 64);
        assert_eq!(pairs(Pattern::BlockCausal, 64), (1 + 2 + 3 + 4) * 16 * 16);
        assert_eq!(pairs(Pattern::NoisyClean, 128), (4 + 6 + 10) * 16 * 16);
        let ring = |pair: &usize| {
            let (query, key) = (pair / 1024 / 128, pair % 1024 / 128);
            let far = query.abs_diff(key);
            far <= 1 || (far <= 17 && far % 4 == 1) || (far <= 81 && far % 16 == 1) || key < 2
        };
        assert_eq!(pairs(Pattern::Ring, 1024), (0..1024 * 1024).filter(ring).count() as u64);
        assert_eq!(pairs(Pattern::LengthAdaptive, 1024), 1024 * 1024);
        assert_eq!(pairs(Pattern::Tree, 1024), 1024 * 64 + 16 * 16);
        // In each half: a block, the lowest node before its own, and what is before it in its own; the last two of four nodes read
        // others by means.
        let (blocks, before) = (2 * 256 * 16, 64 * 64 * 3 * 2);
        let within: u64 = 2 * 4 * 16 * 16 * (1 + 2 + 3);
        assert_eq!(
            pairs(Pattern::TreeBlocks, 512),
            blocks + before + within + 2 * 64 * (1 + 2)
        );
        // 17 cells of 128 for all but the queries within 8 cells of an end.
        let short: u64 = 2 * (1..=8).sum::<u64>();
        assert_eq!(pairs(Pattern::LengthAdaptive, 1 << 16), (512 * 17 - short) * 128 * 128);
    }

    #[test]
    fn the_ring_is_made_of_whole_tiles_of_128() {
        let Reads::Tiles(plan) = reads(Pattern::Ring, 32 * 128).unwrap() else {
            panic!("the ring is made of tiles")
        };
        assert_eq!(plan.cost().partial_tiles, 0);
        for tile in 0..32 {
            assert_eq!(plan.rows().row(2 * tile), plan.rows().row(2 * tile + 1));
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let message = |pattern: Pattern, n| reads(pattern, n).unwrap_err().to_string();
        assert!(message(Pattern::NoisyClean, 101).contains("even"));
        assert!(message(Pattern::TreeBlocks, 1000).contains("multiple of 64"));
        assert!(message(Pattern::NoisyClean, 16).contains("--block-size"));
        assert!(message(Pattern::BlockCausal, 8).contains("--block-size"));
    }
}
