//! Patterns: from a shape to a plan, made once for each shape.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use drdiff_kernels::TilePlan;

use crate::{
    AttentionConfig, CausalTree, Error, LayerPlans, LengthAdaptive, PlanKind, Reads, Rest, Result, Tree, block_causal,
    noisy_causal, noisy_clean,
};

/// A rule that turns a length into plans. Plans are pure values: equal arguments give equal plans.
pub trait Pattern: Send + Sync {
    /// The plans for sequences of `len` text positions in blocks of `block_size`.
    ///
    /// # Errors
    /// If the pattern has no meaning for these numbers.
    fn plan(&self, len: usize, block_size: usize) -> Result<LayerPlans>;
}

/// A text whose positions see to both sides; the block size plays no part.
#[derive(Debug, Clone, Default)]
pub struct Whole {
    /// The plan that each layer takes its part of this layout by.
    pub attention: AttentionConfig,
}

impl Pattern for Whole {
    fn plan(&self, len: usize, _block_size: usize) -> Result<LayerPlans> {
        layer_plans(
            &self.attention,
            || Ok(TilePlan::new(&[block_causal(len, len)?])?),
            |numbers| numbers.whole(len),
            || trees(&self.attention, len, 1),
        )
        .map(|plans| plans.in_blocks(std::slice::from_ref(&(0..len))))
    }
}

/// The training layout `[noisy | clean]`, with all that [`noisy_clean`] allows or a part of it.
#[derive(Debug, Clone, Default)]
pub struct NoisyClean {
    /// The plan that each layer takes its part of this layout by.
    pub attention: AttentionConfig,
    /// Whether clean positions see no later ones, as [`noisy_causal`] says. Not by a tree or by retrieval.
    pub causal: bool,
}

impl Pattern for NoisyClean {
    fn plan(&self, len: usize, block_size: usize) -> Result<LayerPlans> {
        let causal = self.causal;
        layer_plans(
            &self.attention,
            || {
                let layout = if causal { noisy_causal } else { noisy_clean };
                Ok(TilePlan::new(&[layout(len, block_size)?])?)
            },
            |numbers| match causal {
                true => numbers.noisy_causal(len, block_size),
                false => numbers.noisy_clean(len, block_size),
            },
            || match block_size == len {
                _ if causal => Err(Error::CausalContext),
                // In one block, either half sees itself whole and nothing of the other.
                true => trees(&self.attention, len, 2),
                false => CausalTree::noisy_clean(&self.attention.tree, len, block_size),
            },
        )
        .map(|plans| plans.in_blocks(halves(len, [block_size, if causal { 1 } else { block_size }])))
    }
}

/// The blocks of two halves of `len` rows, by the sizes of either half's.
fn halves(len: usize, sizes: [usize; 2]) -> Vec<Range<usize>> {
    let starts = [0, len].into_iter().zip(sizes).flat_map(|(half, size)| {
        let starts = (0..len).step_by(size);
        starts.map(move |start| half + start..half + (start + size).min(len))
    });
    starts.collect()
}

fn trees(attention: &AttentionConfig, len: usize, texts: usize) -> Result<Reads> {
    let numbers = &attention.tree;
    let tree = Arc::new(Tree::new(len, &numbers.branching, numbers.near)?);
    Ok(Reads::Trees { tree, texts })
}

/// The plans of all layers in a layout, given what it is to each kind of plan.
fn layer_plans(
    attention: &AttentionConfig,
    dense: impl Fn() -> Result<TilePlan>,
    length_adaptive: impl Fn(&LengthAdaptive) -> Result<TilePlan>,
    tree: impl Fn() -> Result<Reads>,
) -> Result<LayerPlans> {
    let tiles = |plan: TilePlan| Reads::Tiles(Arc::new(plan));
    let dense = || dense().map(tiles);
    let adaptive = |numbers: &LengthAdaptive| length_adaptive(numbers).map(tiles);
    let reads = match attention.plan {
        PlanKind::Dense => dense()?,
        PlanKind::LengthAdaptive => adaptive(&attention.length_adaptive)?,
        PlanKind::Tree => tree()?,
        PlanKind::Retrieval => adaptive(&attention.retrieval.band())?,
    };
    let rest = match attention.rest {
        _ if attention.layers.is_empty() => return Ok(LayerPlans::all(reads)),
        Rest::Dense if attention.plan == PlanKind::Dense => return Ok(LayerPlans::all(reads)),
        Rest::Dense => dense()?,
        Rest::LengthAdaptive => adaptive(&attention.length_adaptive)?,
    };
    Ok(LayerPlans::some(&attention.layers, reads, rest))
}

/// Plans already made by one pattern, by `(len, block_size)`.
pub struct PlanCache<P> {
    pattern: P,
    plans: Mutex<HashMap<(usize, usize), LayerPlans>>,
}

impl<P: Pattern> PlanCache<P> {
    /// An empty cache for `pattern`.
    pub fn new(pattern: P) -> Self {
        Self {
            pattern,
            plans: Mutex::default(),
        }
    }

    /// The plans for this shape, made on first use.
    ///
    /// # Errors
    /// As [`Pattern::plan`].
    pub fn get(&self, len: usize, block_size: usize) -> Result<LayerPlans> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(&(len, block_size)) {
            return Ok(plan.clone());
        }
        let plan = self.pattern.plan(len, block_size)?;
        plans.insert((len, block_size), plan.clone());
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiles(plans: &LayerPlans, layer: usize) -> &Arc<TilePlan> {
        match plans.of(layer) {
            Reads::Tiles(plan) => plan,
            Reads::Trees { .. } | Reads::Causal(_) => panic!("layer {layer} reads trees"),
        }
    }

    #[test]
    fn a_plan_is_made_once_and_counts_its_pairs() {
        let cache = PlanCache::new(NoisyClean::default());
        let plan = cache.get(128, 32).unwrap();
        assert!(Arc::ptr_eq(tiles(&plan, 0), tiles(&cache.get(128, 32).unwrap(), 0)));
        // noisy: own block (32) + clean before (0, 32, 64, 96); clean: 32, 64, 96, 128; 32 rows each.
        let pairs: u64 = (0..4).map(|b| 32 * (32 + 32 * b) + 32 * (32 * (b + 1))).sum();
        assert_eq!(tiles(&plan, 0).cost().pairs, pairs);
        let whole = PlanCache::new(Whole::default()).get(100, 1).unwrap();
        assert_eq!(tiles(&whole, 0).cost().pairs, 10_000);
    }

    #[test]
    fn chosen_layers_read_trees_and_the_rest_everything() {
        let attention = AttentionConfig {
            plan: PlanKind::Tree,
            layers: vec![1, 3],
            ..AttentionConfig::default()
        };
        let pattern = NoisyClean {
            attention,
            causal: false,
        };
        let plans = pattern.plan(256, 256).unwrap();
        let dense = 4 * 256 * 256;
        // Four nodes of 64 positions, and their means; sums and weights of 256 positions.
        let tree = 4 * (4 * 64 * 64 + 4 * 4) + 5 * 256;
        assert_eq!(plans.flops(4, 1, 1), 2 * (2 * dense + 2 * tree));
        assert_eq!(plans.of(1).queries(), plans.of(0).queries());
        let blocks = pattern.plan(256, 64).unwrap();
        // In both halves a block reads itself and the clean one before it; the third reads one node, the fourth two.
        let exact = (4 + 3) * 64 * 64 + (4 + 3) * 64 * 64;
        assert_eq!(blocks.of(1).pairs(), exact + 2 * 64 * (1 + 2));
        assert_eq!(blocks.of(1).queries(), blocks.of(0).queries());
        let short = pattern.plan(128, 64).unwrap();
        assert_eq!(
            short.of(1).pairs(),
            short.of(0).pairs(),
            "nothing lies behind the lowest nodes that are read exactly"
        );
    }

    #[test]
    fn the_rest_may_be_length_adaptive() {
        let with = |json: &str| {
            let attention: AttentionConfig = serde_json::from_str(json).unwrap();
            attention.validate(512, 4).unwrap();
            Whole { attention }.plan(512, 512).unwrap()
        };
        let small = r#""length_adaptive":{"dense":64,"cell":64,"band":1,"globals":0,"rings":[]}"#;
        let band = with(&format!(r#"{{"plan":"length_adaptive",{small}}}"#));
        let rest = format!(r#""layers":[1,3],"rest":"length_adaptive",{small}"#);
        for plan in ["tree", "dense"] {
            let (all, some) = (
                with(&format!(r#"{{"plan":"{plan}"}}"#)),
                with(&format!(r#"{{"plan":"{plan}",{rest}}}"#)),
            );
            for layer in 0..4 {
                let wanted = if layer % 2 == 1 { &all } else { &band };
                assert_eq!(
                    some.of(layer).pairs(),
                    wanted.of(layer).pairs(),
                    "{plan}, layer {layer}"
                );
            }
        }
        let retrieval = with(&format!(r#"{{"plan":"retrieval",{rest}}}"#));
        assert_eq!(tiles(&retrieval, 0).rows(), tiles(&band, 0).rows());
        assert!(retrieval.of(1).pairs() > retrieval.of(0).pairs(), "128 to each side");
    }
}
