//! The plans of a causal tree: of what is read position by position, and of each level's nodes.

use std::sync::Arc;

use drdiff_kernels::{TILE, TilePlan};

use super::rule::{CausalRule, Seats};
use crate::{Reads, Result, TreeConfig, noisy_clean};

/// What the queries of a pass read of a tree where text comes block after block, see [`crate::causal_attention`].
#[derive(Debug)]
pub struct CausalTree {
    exact: Arc<TilePlan>,
    levels: Vec<Level>,
    clean: usize,
}

/// The nodes of a level, as queries read them.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) plan: Arc<TilePlan>,
    pub(crate) seats: Seats,
    /// Positions of a node.
    pub(crate) span: usize,
    /// Nodes up to the last that is read.
    pub(super) nodes: usize,
    /// Parts of a node: positions of a lowest one, children of others.
    pub(super) parts: usize,
}

/// Where the queries of a pass stand.
pub(crate) struct Queries<F> {
    /// So many are padding; then come those of the pass.
    pub(crate) lead: usize,
    /// The position in the text at which a tile of queries begins.
    pub(crate) position: F,
    /// Positions of the longest pass and of the longest text.
    pub(crate) most: (usize, usize),
}

impl CausalTree {
    /// What the training layout `[noisy | clean]` of `len` text positions reads in blocks of `block_size`; its nodes are made of
    /// clean positions. A text that is too short for a node is read as its layout allows.
    ///
    /// # Errors
    /// If the numbers make no tree, its lowest nodes or the halves are not made of whole tiles, or the block size is
    /// impossible.
    pub fn noisy_clean(numbers: &TreeConfig, len: usize, block_size: usize) -> Result<Reads> {
        let rule = CausalRule::new(numbers, block_size, len)?;
        if rule.levels(len) == 0 {
            let plan = TilePlan::new(&[noisy_clean(len, block_size)?])?;
            return Ok(Reads::Tiles(Arc::new(plan)));
        }
        let exact = rule.band().noisy_clean(len, block_size)?;
        let queries = Queries {
            lead: 0,
            position: |tile: usize| tile % (len / TILE) * TILE,
            most: (len, len),
        };
        let tree = Self::new(&rule, exact, queries)?;
        Ok(Reads::Causal(Arc::new(Self { clean: len, ..tree })))
    }

    /// The tree of a pass that reads by `exact` what it reads position by position.
    ///
    /// # Errors
    /// If the numbers make no plan.
    pub(crate) fn new(rule: &CausalRule, exact: TilePlan, queries: Queries<impl Fn(usize) -> usize>) -> Result<Self> {
        let Queries {
            lead,
            position,
            most: (pass, text),
        } = queries;
        let last = position(exact.query_tiles().saturating_sub(1));
        let level = |level: usize| -> Result<Level> {
            let seats = rule.seats(level, pass, text);
            Ok(Level {
                plan: Arc::new(rule.plan(seats, (lead, exact.queries()), &position)?),
                seats,
                span: rule.span(level),
                nodes: rule.first(last) / rule.leaves(level),
                parts: match level {
                    0 => rule.leaf(),
                    _ => rule.siblings(level - 1),
                },
            })
        };
        Ok(Self {
            levels: (0..rule.levels(last + 1)).map(level).collect::<Result<_>>()?,
            exact: Arc::new(exact),
            clean: 0,
        })
    }

    /// Rows that read, those of padding included.
    #[must_use]
    pub fn queries(&self) -> usize {
        self.exact.queries()
    }

    /// Pairs that one head reads: of positions, and of a position and a node.
    #[must_use]
    pub fn pairs(&self) -> u64 {
        let plans = self.levels.iter().map(|level| &level.plan).chain([&self.exact]);
        plans.map(|plan| plan.cost().pairs).sum()
    }

    pub(crate) fn exact(&self) -> &Arc<TilePlan> {
        &self.exact
    }

    /// From below.
    pub(crate) fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// The key of the training layout with which the positions begin that nodes are made of.
    pub(super) fn clean(&self) -> usize {
        self.clean
    }
}
