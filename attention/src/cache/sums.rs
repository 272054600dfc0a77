//! Means of keys and values over the nodes of a tree, for text that comes block after block.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use drdiff_kernels::{TILE, Value};

use super::tiles::Tiles;
use super::{CacheShape, write};
use crate::tree::{CausalRule, Nodes, Queries, Seats, means};
use crate::{CausalTree, PassLayout, Reads, Result, Tree, TreeConfig};

/// Sums over the finished nodes of each level, each divided by its positions: what queries read of them.
///
/// A lowest node is made of its positions' keys when it leaves what is read one by one, a node above of its children when the
/// last of them is there; each once. Families of siblings that no later query reads give their place to others, so memory
/// grows by a few tiles for each level and not with the text.
#[derive(Debug)]
pub(super) struct Sums {
    rule: CausalRule,
    numbers: TreeConfig,
    /// Positions of the longest pass and of the longest text.
    most: (usize, usize),
    levels: Vec<Seats>,
    /// Keys and values of each layer and level, `[1, seats, kv_heads, head_dim]` f32.
    layers: Vec<Vec<(Tensor, Tensor)>>,
    /// Lowest nodes that are made and stay.
    made: usize,
    /// Those with the last pass.
    with_pass: usize,
}

impl Sums {
    pub(super) fn new(
        shape: CacheShape<'_>,
        (rule, numbers): (CausalRule, &TreeConfig),
        (pass, text): (usize, usize),
    ) -> Result<Self> {
        let levels: Vec<Seats> = (0..rule.levels(text))
            .map(|level| rule.seats(level, pass, text))
            .collect();
        let wide = CacheShape {
            dtype: DType::F32,
            ..shape
        };
        let memory = |seats: &Seats| wide.memory((1, seats.count(), shape.kv_heads, shape.head_dim));
        let by_level: Vec<_> = levels.iter().map(memory).collect::<Result<_>>()?;
        let layers = (0..shape.layers).map(|layer| by_level.iter().map(|level| level[layer].clone()).collect());
        Ok(Self {
            layers: layers.collect(),
            rule,
            numbers: numbers.clone(),
            most: (pass, text),
            levels,
            made: 0,
            with_pass: 0,
        })
    }

    /// All that is kept.
    pub(super) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let levels = self.layers.iter().flatten();
        levels.flat_map(|(keys, values)| [keys, values])
    }

    /// What the next pass reads. A block that is the whole text reads it to both sides, as such a window does in training.
    pub(super) fn plan(&self, tiles: &Tiles, layout: PassLayout) -> Result<Reads> {
        let (_, text) = self.most;
        if layout.committed + layout.clean == 0 && layout.noisy == text {
            let tree = Tree::new(text, &self.numbers.branching, self.numbers.near)?;
            return Ok(Reads::Trees {
                tree: Arc::new(tree),
                texts: 1,
            });
        }
        let lead = layout.committed % TILE;
        let queries = Queries {
            lead,
            position: |tile: usize| layout.committed - lead + tile * TILE,
            most: self.most,
        };
        let tree = CausalTree::new(&self.rule, tiles.plan(layout)?, queries)?;
        Ok(Reads::Causal(Arc::new(tree)))
    }

    /// Makes those nodes of a layer that a pass of `len` positions is the first to read, of the keys and values in `slots`,
    /// `[1, S, G, D]`, which has the pass already.
    pub(super) fn extend(&mut self, layer: usize, slots: [&Tensor; 2], tiles: &Tiles, len: usize) -> Result<()> {
        let last = (tiles.committed() + len).saturating_sub(1);
        self.with_pass = self.rule.first(last).max(self.made);
        for (side, slots) in slots.into_iter().enumerate() {
            let of = |level: usize| {
                let (keys, values) = &self.layers[layer][level];
                [keys, values][side]
            };
            for (level, seats) in self.levels.iter().enumerate() {
                let leaves = self.rule.leaves(level);
                for node in self.made / leaves..self.with_pass / leaves {
                    let mean = match level.checked_sub(1) {
                        None => self.of_positions(slots, tiles, node)?,
                        Some(below) => {
                            let children = self.levels[below];
                            let first = children.of(node * children.siblings);
                            means(of(below), first, (1, children.siblings))?
                        }
                    };
                    write(of(level), &mean, 1, seats.of(node))?;
                }
            }
        }
        Ok(())
    }

    /// The mean over a lowest node, `[1, 1, G, D]`.
    fn of_positions(&self, slots: &Tensor, tiles: &Tiles, node: usize) -> Result<Tensor> {
        let whole = self.rule.leaf() / TILE;
        let tile = |tile| Ok(slots.narrow(1, tiles.slot(tile) * TILE, TILE)?);
        let own: Vec<Tensor> = (node * whole..(node + 1) * whole).map(tile).collect::<Result<_>>()?;
        Ok(means(&Tensor::cat(&own, 1)?, 0, (1, self.rule.leaf()))?)
    }

    /// The nodes of a layer as the kernel reads them beside keys of `dtype`, level after level.
    pub(super) fn nodes(&self, layer: usize, dtype: DType) -> Result<Vec<Nodes>> {
        let levels = self.layers[layer].iter();
        let read = |x: &Tensor| -> Result<Value> { Ok(Value::constant(&x.to_dtype(dtype)?)) };
        levels.map(|(keys, values)| Ok([read(keys)?, read(values)?])).collect()
    }

    /// Nodes of committed positions stay.
    pub(super) fn commit(&mut self, committed: usize) {
        self.made = self.with_pass.min(committed / self.rule.leaf()).max(self.made);
        self.with_pass = self.made;
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use drdiff_testkit::{assert_close, values};

    use super::*;
    use crate::KvCache;

    fn shape() -> CacheShape<'static> {
        CacheShape {
            layers: 2,
            kv_heads: 1,
            head_dim: 1,
            dtype: DType::F32,
            device: &Device::Cpu,
        }
    }

    fn layout(committed: usize, clean: usize, noisy: usize, clean_block: usize) -> PassLayout {
        PassLayout {
            committed,
            clean,
            clean_block,
            noisy,
        }
    }

    #[test]
    fn nodes_are_means_of_what_was_committed_wherever_passes_end() {
        for (branching, near, block) in [(vec![64, 2, 3], 0, 40), (vec![128, 3], 1, 24), (vec![64, 64], 0, 100)] {
            let numbers = TreeConfig { branching, near };
            let text = 9_000;
            let mut cache = KvCache::tree(shape(), &numbers, (block, 2 * block), text).unwrap();
            let (mut at, mut turn) = (0, 0);
            while at + 2 * block <= text {
                // Positions say where they are, those of a block that is still open something else in every pass.
                let said = |i: usize| if i < block { (at + i) as f32 } else { -(turn as f32) };
                let keys: Vec<f32> = (0..2 * block).map(said).collect();
                let keys = Tensor::from_vec(keys, (1, 2 * block, 1, 1), &Device::Cpu).unwrap();
                for layer in 0..2 {
                    cache.extend(layer, &keys, &(&keys * 2.0).unwrap()).unwrap();
                }
                let Reads::Causal(tree) = cache.plan(layout(at, block, block, block)).unwrap() else {
                    panic!("a tree")
                };
                let sums = cache.sums.as_ref().unwrap();
                for position in [at, at + 2 * block - 1] {
                    for (level, seats) in tree.levels().iter().map(|level| level.seats).enumerate() {
                        let nodes = sums.rule.nodes(position, level);
                        let span = sums.rule.span(level) as f64;
                        let middle: Vec<f64> = nodes
                            .clone()
                            .map(|node| node as f64 * span + (span - 1.0) / 2.0)
                            .collect();
                        let (keys, twice) = &sums.layers[1][level];
                        let read = |x: &Tensor| -> Vec<f64> {
                            let all = values(x).unwrap();
                            nodes.clone().map(|node| all[seats.of(node)]).collect()
                        };
                        assert_close("keys", &read(keys), &middle);
                        assert_close(
                            "values",
                            &read(twice),
                            &middle.iter().map(|m| 2.0 * m).collect::<Vec<_>>(),
                        );
                    }
                }
                // Nothing of every third pass stays.
                turn += 1;
                let kept = if turn % 3 == 0 { 0 } else { block };
                cache.commit(kept, 2 * block).unwrap();
                at += kept;
            }
        }
    }

    #[test]
    fn each_node_is_made_once() {
        let mut cache = KvCache::tree(shape(), &TreeConfig::default(), (16, 32), 4_096).unwrap();
        let keys = Tensor::zeros((1, 16, 1, 1), DType::F32, &Device::Cpu).unwrap();
        for at in (0..4_000).step_by(16) {
            for layer in 0..2 {
                cache.extend(layer, &keys, &keys).unwrap();
            }
            let sums = cache.sums.as_ref().unwrap();
            // All of them but that which the pass is the first to leave behind.
            let due = (at / 64usize).saturating_sub(1);
            let fresh = usize::from(at % 64 == 0 && due > 0);
            assert_eq!((sums.made, sums.with_pass), (due - fresh, due), "at {at}");
            cache.commit(16, 32).unwrap();
        }
    }

    #[test]
    fn a_pass_costs_the_same_wherever_the_text_stands() {
        let (block, text) = (64, 1 << 50);
        let numbers = TreeConfig::default();
        for committed in [4_096 + 64, 50_000, 1 << 18, 1 << 24, (1 << 24) - 64, (1 << 33) - 1] {
            let mut cache = KvCache::tree(shape(), &numbers, (block, 2 * block), text).unwrap();
            cache.commit(committed, 0).unwrap();
            let Reads::Causal(tree) = cache.plan(layout(committed, block, block, block)).unwrap() else {
                panic!("a tree")
            };
            // The node of each query, the one before, and what a block that begins in it may hold behind it.
            let exact = tree.exact().cost();
            assert!(exact.full_tiles + exact.partial_tiles <= 3 * 3, "{committed}");
            for level in tree.levels() {
                let cost = level.plan.cost();
                assert!(cost.full_tiles + cost.partial_tiles <= 3 && cost.pairs <= 63 * 2 * block as u64);
            }
        }
    }

    #[test]
    fn memory_does_not_grow_with_the_text_but_by_two_tiles_a_level() {
        let bytes = |text| {
            let cache = KvCache::tree(shape(), &TreeConfig::default(), (64, 128), text).unwrap();
            cache.bytes()
        };
        // Keys and values, f32, in two layers.
        let each = 2 * 4 * 2;
        // The lowest nodes around a block and a pass; two families of lowest nodes, and the one family of those above.
        assert_eq!(bytes(1 << 18), each * (64 * (2 + 2 + 1) + 2 * 64 + 64));
        // One more of those, and one of a level more.
        assert_eq!(bytes((1 << 24) - 1) - bytes(1 << 18), each * (64 + 64));
        assert_eq!(bytes(1 << 24), bytes((1 << 24) - 1), "no byte for a token more");
    }
}
