//! Keys and values of committed positions.

mod bank;
mod chunks;
mod sums;
mod tiles;
mod window;

use std::sync::Arc;

use candle_core::{DType, Device, Shape, Tensor};
use drdiff_kernels::{Remembered, TilePlan, has_room};

use crate::retrieval::{Choices, Chunks, Retrieval, Units};
use crate::tree::{CausalRule, Nodes};
use crate::{Branch, Error, LengthAdaptive, PassLayout, Reads, Result, TreeConfig, branched};
use bank::Seat;
pub use bank::{Bank, Cohort, Place};
use chunks::Store;
use sums::Sums;
use tiles::Tiles;
use window::Window;

/// Sizes of what a cache holds.
#[derive(Debug, Clone, Copy)]
pub struct CacheShape<'a> {
    /// Layers of the network.
    pub layers: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Type of the numbers.
    pub dtype: DType,
    /// Where they lie.
    pub device: &'a Device,
}

impl CacheShape<'_> {
    /// Zeros of this size for keys and values of each layer.
    fn memory(&self, size: impl Into<Shape>) -> Result<Vec<(Tensor, Tensor)>> {
        let size: Shape = size.into();
        let numbers = size
            .dims()
            .iter()
            .try_fold(1_usize, |product, dim| product.checked_mul(*dim));
        let bytes = numbers.and_then(|numbers| numbers.checked_mul(self.dtype.size_in_bytes()));
        let bytes = bytes.unwrap_or(usize::MAX);
        let zeros = || {
            if self.device.is_cpu() && !has_room(bytes) {
                let megabytes = bytes / 1_000_000;
                return Err(Error::Memory { megabytes });
            }
            Ok(Tensor::zeros(&size, self.dtype, self.device)?)
        };
        (0..self.layers).map(|_| Ok((zeros()?, zeros()?))).collect()
    }
}

/// Keys and values of one sequence, layer by layer.
///
/// Clean positions never see later ones, so what is committed here never changes: the cache is exact. A pass writes
/// its own keys behind the committed ones ([`KvCache::extend`]); only [`KvCache::commit`] makes some of them stay.
/// Each position is written once; what no later query can read is overwritten, so memory and the cost of a pass stay
/// constant however long the text grows; what is kept to be retrieved grows with the text.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<(Tensor, Tensor)>,
    slots: Slots,
    chunks: Option<Store>,
    sums: Option<Sums>,
}

/// Which slot holds which position.
#[derive(Debug)]
enum Slots {
    /// In a bank, where other texts have theirs beside it.
    Window(Seat, Window),
    Tiles(Tiles),
}

/// Positions of a pass, from `from` of them on, that lie one behind another from a slot on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    from: usize,
    slot: usize,
    len: usize,
}

impl KvCache {
    /// Sees the last committed positions, all of them, in a seat of `bank`, which knows how many; `None` if all seats are taken.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn seated(bank: &Arc<Bank>) -> Result<Option<Self>> {
        let Some(seat) = Bank::seat(bank) else { return Ok(None) };
        let (window, pass) = bank.sizes();
        Ok(Some(Self {
            layers: seat.layers()?,
            slots: Slots::Window(seat, Window::new(window, pass)),
            chunks: None,
            sums: None,
        }))
    }

    /// Sees what `plan` reads of a text of up to `text` positions in blocks of `block_size`, and takes passes of up to
    /// `pass`. Holds the plan's globals and, of the rest, as many positions as its farthest cell lies back, or all of
    /// a shorter text. (On a CPU the system gives memory as it is written to, so it grows with the text up to that.)
    ///
    /// # Errors
    /// If the plan's numbers are impossible or the memory cannot be had.
    pub fn length_adaptive(
        shape: CacheShape<'_>,
        plan: &LengthAdaptive,
        (block_size, pass): (usize, usize),
        text: usize,
    ) -> Result<Self> {
        plan.validate()?;
        let tiles = Tiles::new(plan.clone(), block_size, pass, text);
        let memory = (1, tiles.capacity(), shape.kv_heads, shape.head_dim);
        Ok(Self {
            layers: shape.memory(memory)?,
            slots: Slots::Tiles(tiles),
            chunks: None,
            sums: None,
        })
    }

    /// Sees the band of `plan` in every layer and keeps the chunks of a text of up to `text` positions in blocks of
    /// `block_size` to be retrieved; takes passes of up to `pass`. The chunks' memory grows with the text (on a CPU as
    /// it is written to), the cost of a pass only by the landmarks that are scored.
    ///
    /// # Errors
    /// If the plan's numbers are impossible or the memory cannot be had.
    pub fn retrieval(
        shape: CacheShape<'_>,
        plan: &Retrieval,
        (block_size, pass): (usize, usize),
        text: usize,
    ) -> Result<Self> {
        let band = Self::length_adaptive(shape, &plan.band(), (block_size, pass), text)?;
        let chunks = Some(Store::new(shape, plan, block_size, text)?);
        Ok(Self { chunks, ..band })
    }

    /// Sees the lowest nodes of the tree of `numbers` around a block position by position, in every layer, and what lies
    /// before by the means of whole nodes, for a text of up to `text` positions in blocks of `block_size`; takes passes of up to
    /// `pass`. Neither its memory nor the cost of a pass grows with the text, but for some tiles for each level of the tree.
    ///
    /// # Errors
    /// If the numbers make no tree, its lowest nodes are not made of whole tiles, or the memory cannot be had.
    pub fn tree(
        shape: CacheShape<'_>,
        numbers: &TreeConfig,
        (block_size, pass): (usize, usize),
        text: usize,
    ) -> Result<Self> {
        let rule = CausalRule::new(numbers, block_size, text)?;
        let band = Self::length_adaptive(shape, &rule.band(), (block_size, pass), text)?;
        let sums = Some(Sums::new(shape, (rule, numbers), (pass, text))?);
        Ok(Self { sums, ..band })
    }

    /// Committed positions that the next pass is planned with ([`PassLayout::committed`]): those of the window, or all.
    pub fn visible(&self) -> usize {
        match &self.slots {
            Slots::Window(_, window) => window.visible(),
            Slots::Tiles(tiles) => tiles.committed(),
        }
    }

    /// Where in its bank the cache reads and writes in the next pass of `len` positions; `None` if it has memory of its own.
    ///
    /// # Errors
    /// If they do not fit.
    pub fn place(&self, len: usize) -> Result<Option<Place>> {
        match &self.slots {
            Slots::Window(seat, window) => Ok(Some(seat.place(window.view(len), window.piece(len)?.slot))),
            Slots::Tiles(_) => Ok(None),
        }
    }

    /// What a pass of one position reads and where it leaves its own keys and values; `None` if the cache is no window.
    ///
    /// # Errors
    /// If they do not fit.
    pub fn window(&self) -> Result<Option<Remembered<'_>>> {
        match &self.slots {
            Slots::Window(_, window) => {
                let ((first, count), slot) = (window.view(1), window.piece(1)?.slot);
                Ok(Some(Remembered::new(&self.layers, slot, first..first + count)))
            }
            Slots::Tiles(_) => Ok(None),
        }
    }

    /// Bytes that keys and values take up, all layers together, and the chunks that can be retrieved or the nodes of a tree.
    pub fn bytes(&self) -> usize {
        let layers = self.layers.iter().flat_map(|(keys, values)| [keys, values]);
        let chunks = self.chunks.iter().flat_map(Store::tensors);
        let tensors = layers.chain(chunks).chain(self.sums.iter().flat_map(Sums::tensors));
        tensors.map(|t| t.elem_count() * t.dtype().size_in_bytes()).sum()
    }

    /// What the next pass reads. A sparse plan may have more queries than the pass: the first of them are padding, so
    /// that tiles of queries are tiles of the text (see [`crate::Segment::plan`]).
    ///
    /// # Errors
    /// If the layout is impossible, or not one of this cache.
    pub fn plan(&self, layout: PassLayout) -> Result<Reads> {
        let plan = match (&self.slots, &self.sums) {
            (Slots::Window(..), _) => TilePlan::new(&[crate::pass(layout)?])?,
            (Slots::Tiles(tiles), Some(sums)) => return sums.plan(tiles, layout),
            (Slots::Tiles(tiles), None) => tiles.plan(layout)?,
        };
        Ok(Reads::Tiles(Arc::new(plan)))
    }

    /// What a pass reads in which `branches` take the place of the one noisy block, on a CPU row by row: each has the bits that it would have
    /// alone.
    ///
    /// # Errors
    /// If the layout is impossible, or the cache is no window.
    pub fn plan_branches(&self, layout: PassLayout, branches: &[Branch]) -> Result<Reads> {
        match &self.slots {
            Slots::Window(..) => {
                let plan = TilePlan::new(&[branched(layout, branches)?])?;
                Ok(Reads::Tiles(Arc::new(plan.query_by_query())))
            }
            Slots::Tiles(_) => Err(Error::Branches),
        }
    }

    /// Committed positions of which all are seen; of more, only the last ones. `None` if the cache is no window.
    #[must_use]
    pub fn window_size(&self) -> Option<usize> {
        match &self.slots {
            Slots::Window(_, window) => Some(window.size()),
            Slots::Tiles(_) => None,
        }
    }

    /// The nodes of a layer that the current pass reads, level after level; none in a cache that has no tree.
    pub(crate) fn nodes(&self, layer: usize) -> Result<Vec<Nodes>> {
        let dtype = self.layers[layer].0.dtype();
        self.sums
            .as_ref()
            .map_or(Ok(Vec::new()), |sums| sums.nodes(layer, dtype))
    }

    /// The units of the next pass, if there is anything to retrieve from.
    ///
    /// # Errors
    /// If the layout is impossible.
    pub fn units(&self, layout: PassLayout) -> Result<Option<Arc<Units>>> {
        self.chunks.as_ref().map(|chunks| chunks.units(layout)).transpose()
    }

    /// What the layers chose in the last pass.
    ///
    /// # Errors
    /// If the cache is none for retrieval.
    pub fn choices(&self) -> Result<&Choices> {
        self.chunks.as_ref().map(Store::choices).ok_or(Error::Units)
    }

    /// All chunks that the current pass can retrieve, of which `encode` makes those that its `clean` rows of the stream
    /// ([`Units::clean`]), `[clean, width]`, make whole.
    ///
    /// # Errors
    /// If the cache is none for retrieval, the rows do not fit, or `encode` fails.
    pub fn chunks(&mut self, clean: &Tensor, encode: impl FnOnce(&Tensor) -> Result<Chunks>) -> Result<Chunks> {
        let store = self.chunks.as_mut().ok_or(Error::Units)?;
        let fresh = store.extend(clean)?.map(|rows| encode(&rows)).transpose()?;
        store.all(fresh.as_ref())
    }

    /// Writes keys and values `[1, T, G, D]` of the current pass behind the committed ones and returns views
    /// `[1, S, G, D]` of both, whose slots are those of [`KvCache::plan`].
    ///
    /// # Errors
    /// If they do not fit.
    pub fn extend(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let len = k.dim(1)?;
        let (pieces, (first, count)) = match &self.slots {
            Slots::Window(_, window) => (vec![window.piece(len)?], window.view(len)),
            Slots::Tiles(tiles) => (tiles.pieces(len)?, (0, tiles.used(len))),
        };
        let (keys, values) = &self.layers[layer];
        for (slots, new) in [(keys, k), (values, v)] {
            for piece in &pieces {
                write(slots, &new.narrow(1, piece.from, piece.len)?, 1, piece.slot)?;
            }
        }
        if let (Slots::Tiles(tiles), Some(sums)) = (&self.slots, &mut self.sums) {
            sums.extend(layer, [keys, values], tiles, len)?;
        }
        Ok((keys.narrow(1, first, count)?, values.narrow(1, first, count)?))
    }

    /// Makes the first `positions` of the last pass permanent, and makes room for the next pass of up to `pass`.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn commit(&mut self, positions: usize, pass: usize) -> Result<()> {
        let moved = match &mut self.slots {
            Slots::Window(_, window) => window.commit(positions, pass),
            Slots::Tiles(tiles) => {
                tiles.commit(positions);
                if let Some(sums) = &mut self.sums {
                    sums.commit(tiles.committed());
                }
                None
            }
        };
        if let Some((first, kept)) = moved {
            for slots in self.layers.iter().flat_map(|(keys, values)| [keys, values]) {
                write(slots, &slots.narrow(1, first, kept)?.force_contiguous()?, 1, 0)?;
            }
        }
        self.chunks.as_mut().map_or(Ok(()), |chunks| chunks.commit(positions))
    }
}

#[expect(clippy::disallowed_methods, reason = "what is kept of a text carries no gradient")]
pub(crate) fn write(slots: &Tensor, new: &Tensor, dim: usize, at: usize) -> Result<()> {
    Ok(slots.slice_set(&new.contiguous()?, dim, at)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(xs: &[f32]) -> Tensor {
        Tensor::from_slice(xs, (1, xs.len(), 1, 1), &Device::Cpu).unwrap()
    }

    fn shape(layers: usize) -> CacheShape<'static> {
        CacheShape {
            layers,
            kv_heads: 1,
            head_dim: 1,
            dtype: DType::F32,
            device: &Device::Cpu,
        }
    }

    fn window(sizes: (usize, usize)) -> KvCache {
        KvCache::seated(&Bank::new(shape(1), sizes, 1).unwrap())
            .unwrap()
            .unwrap()
    }

    fn pass(cache: &mut KvCache, xs: &[f32]) -> Vec<f32> {
        let (keys, _) = cache.extend(0, &tensor(xs), &tensor(xs)).unwrap();
        keys.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn committed_positions_stay_and_the_rest_is_overwritten() {
        let mut cache = window((4, 3));
        assert_eq!(pass(&mut cache, &[1., 2., 3.]), [1., 2., 3.]);
        cache.commit(1, 3).unwrap();
        assert_eq!(pass(&mut cache, &[7., 8.]), [1., 7., 8.]);
        let long = tensor(&[0.; 11]);
        assert!(matches!(
            cache.extend(0, &long, &long),
            Err(Error::CacheFull {
                capacity: 11,
                needed: 12
            })
        ));
    }

    #[test]
    fn only_the_window_is_seen_and_memory_stays_bounded() {
        let mut cache = window((3, 2));
        for i in 0..50 {
            let seen = pass(&mut cache, &[i as f32, -1.0]);
            let first = (i - 3i32).max(0);
            let wanted: Vec<f32> = (first..=i).map(|x| x as f32).chain([-1.0]).collect();
            assert_eq!(seen, wanted);
            cache.commit(1, 2).unwrap();
        }
    }

    #[test]
    fn a_sparse_cache_holds_what_its_plan_reads_and_no_more() {
        let numbers: LengthAdaptive = serde_json::from_str(
            r#"{"dense":64,"cell":64,"band":1,"globals":1,"rings":[{"from":64,"rate":2,"cells":2},{"from":256,"rate":4,"cells":2}]}"#,
        )
        .unwrap();
        let (block, layers) = (40, 2);
        let mut cache = KvCache::length_adaptive(shape(layers), &numbers, (block, 2 * block), 12_040).unwrap();
        let mut at = 0;
        while at < 12_000 {
            let layout = PassLayout {
                committed: cache.visible(),
                clean: block,
                clean_block: block,
                noisy: block,
            };
            assert_eq!(layout.committed, at);
            let Reads::Tiles(plan) = cache.plan(layout).unwrap() else {
                panic!("a plan of tiles")
            };
            // Keys say their own position; those of the noisy block are negative.
            let position = |i: usize| if i < block { (at + i) as f32 } else { -((at + i) as f32) };
            let keys: Vec<f32> = (0..2 * block).map(position).collect();
            let mut seen: Vec<f32> = Vec::new();
            for layer in 0..layers {
                let (k, _) = cache.extend(layer, &tensor(&keys), &tensor(&keys)).unwrap();
                seen = k.flatten_all().unwrap().to_vec1().unwrap();
            }
            assert_eq!(plan.keys(), seen.len());
            let lead = at % 64;
            assert_eq!(plan.queries(), lead + 2 * block);
            for row in 0..2 * block {
                let (query, tile) = (lead + row, (lead + row) / 64);
                let mut found: Vec<f32> = Vec::new();
                for entry in plan.rows().row(tile) {
                    let slots = (*entry >> 1) as usize * 64..(((*entry >> 1) as usize + 1) * 64).min(seen.len());
                    found.extend(
                        slots
                            .filter(|slot| drdiff_kernels::allowed(plan.query_codes()[query], plan.key_codes()[*slot]))
                            .map(|slot| seen[slot]),
                    );
                }
                found.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
                let end = if row < block { at + block } else { at + 2 * block };
                let wanted: Vec<f32> = numbers
                    .tiles((at + row) / 64, block, 12_040usize.div_ceil(64))
                    .into_iter()
                    .flat_map(|tile| tile * 64..((tile + 1) * 64).min(end))
                    .map(|p| if p < at + block { p as f32 } else { -(p as f32) })
                    .collect();
                assert_eq!(found, wanted, "position {}", at + row);
            }
            cache.commit(block, 2 * block).unwrap();
            at += block;
        }
        // Keys and values of one f32 number a position, in each layer: 16 bytes a token here, up to the globals, the
        // farthest cell that is read, the query's own, and the pass.
        let most = 64 * (1 + 13 + 1 + 80usize.div_ceil(64) + 1);
        assert_eq!(cache.bytes(), layers * 2 * 4 * most);
        let short = KvCache::length_adaptive(shape(layers), &numbers, (block, 2 * block), 640).unwrap();
        assert_eq!(short.bytes(), layers * 2 * 4 * 640);
    }
}
