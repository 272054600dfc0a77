//! What each layer of a network reads.

use std::ops::Range;
use std::sync::Arc;

use drdiff_kernels::TilePlan;

use crate::{CausalTree, LocalPlan, Tree, attention_flops};

/// What one layer reads.
#[derive(Debug, Clone)]
pub enum Reads {
    /// The pairs of a plan, exactly.
    Tiles(Arc<TilePlan>),
    /// Each of `texts` texts of equal length, which make up a sequence, by a tree of its own.
    Trees {
        /// The tree of every text.
        tree: Arc<Tree>,
        /// Texts of a sequence.
        texts: usize,
    },
    /// What is near position by position, and the nodes of a tree before it.
    Causal(Arc<CausalTree>),
}

impl Reads {
    /// Positions of a sequence that read.
    #[must_use]
    pub fn queries(&self) -> usize {
        match self {
            Self::Tiles(plan) => plan.queries(),
            Self::Trees { tree, texts } => texts * tree.positions(),
            Self::Causal(tree) => tree.queries(),
        }
    }

    /// Pairs that one head reads in a sequence, exactly or by means.
    #[must_use]
    pub fn pairs(&self) -> u64 {
        match self {
            Self::Tiles(plan) => plan.cost().pairs / plan.sequences() as u64,
            Self::Trees { tree, texts } => *texts as u64 * tree.pairs(),
            Self::Causal(tree) => tree.pairs(),
        }
    }

    /// Floating-point operations of one sequence, forward only; see [`attention_flops`] and [`Tree::flops`]. Of a causal tree
    /// the products are counted; its sums are a hundredth of them.
    #[must_use]
    pub fn flops(&self, heads: usize, head_dim: usize) -> u64 {
        match self {
            Self::Tiles(plan) => attention_flops(plan, heads, head_dim),
            Self::Trees { tree, texts } => *texts as u64 * tree.flops(heads, head_dim),
            Self::Causal(tree) => 4 * tree.pairs() * (heads * head_dim) as u64,
        }
    }

    /// Whether both are clones of one value.
    #[must_use]
    pub fn shares(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tiles(one), Self::Tiles(other)) => Arc::ptr_eq(one, other),
            (Self::Trees { tree: one, .. }, Self::Trees { tree: other, .. }) => Arc::ptr_eq(one, other),
            (Self::Causal(one), Self::Causal(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// What the layers of a network read: all the same, or some by another plan than the rest. Clones share the plans.
#[derive(Debug, Clone)]
pub struct LayerPlans {
    rest: Reads,
    chosen: Option<(Arc<[usize]>, Reads)>,
    local: Option<Arc<LocalPlan>>,
    blocks: Arc<[Range<usize>]>,
}

impl LayerPlans {
    /// The same for all layers.
    #[must_use]
    pub fn all(reads: Reads) -> Self {
        Self {
            rest: reads,
            chosen: None,
            local: None,
            blocks: Arc::default(),
        }
    }

    /// `reads` for these layers, counted from 0, and `rest` for the others.
    #[must_use]
    pub fn some(layers: &[usize], reads: Reads, rest: Reads) -> Self {
        Self {
            rest,
            chosen: Some((layers.into(), reads)),
            local: None,
            blocks: Arc::default(),
        }
    }

    /// The same plans for rows in these blocks.
    #[must_use]
    pub fn in_blocks(self, blocks: impl Into<Arc<[Range<usize>]>>) -> Self {
        Self {
            blocks: blocks.into(),
            ..self
        }
    }

    /// The same plans where some layers read windows instead.
    #[must_use]
    pub fn with_local(self, local: Arc<LocalPlan>) -> Self {
        Self {
            local: Some(local),
            ..self
        }
    }

    /// Whether some layers read windows.
    #[must_use]
    pub fn has_local(&self) -> bool {
        self.local.is_some()
    }

    /// The window that a layer reads, if it reads one.
    pub(crate) fn local(&self, layer: usize) -> Option<&LocalPlan> {
        self.local.as_deref().filter(|local| local.layers.contains(&layer))
    }

    /// The blocks of a sequence, which cover its rows in order: all rows of one see each other. None where nobody said.
    #[must_use]
    pub fn blocks(&self) -> &[Range<usize>] {
        &self.blocks
    }

    /// Whether both are clones of one value, as far as can be seen without looking into plans.
    #[must_use]
    pub fn shares(&self, other: &Self) -> bool {
        let chosen = match (&self.chosen, &other.chosen) {
            (None, None) => true,
            (Some((layers, reads)), Some((others, read))) => layers == others && reads.shares(read),
            _ => false,
        };
        chosen && self.rest.shares(&other.rest) && !self.has_local() && !other.has_local()
    }

    /// What a layer reads that reads no window.
    #[must_use]
    pub fn of(&self, layer: usize) -> &Reads {
        match &self.chosen {
            Some((layers, reads)) if layers.contains(&layer) => reads,
            _ => &self.rest,
        }
    }

    /// Floating-point operations of one sequence in a network of `layers` layers, forward only.
    #[must_use]
    pub fn flops(&self, layers: usize, heads: usize, head_dim: usize) -> u64 {
        (0..layers).map(|layer| self.of(layer).flops(heads, head_dim)).sum()
    }
}

impl From<Arc<TilePlan>> for LayerPlans {
    fn from(plan: Arc<TilePlan>) -> Self {
        Self::all(Reads::Tiles(plan))
    }
}

impl From<Reads> for LayerPlans {
    fn from(reads: Reads) -> Self {
        Self::all(reads)
    }
}

impl From<TilePlan> for LayerPlans {
    fn from(plan: TilePlan) -> Self {
        Arc::new(plan).into()
    }
}
