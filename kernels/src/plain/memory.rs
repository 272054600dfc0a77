//! Keys and values of a text, where they lie.

use super::NAME;
use crate::gemm::Mat;
use crate::ops::Operand;
use crate::{Error, Result};
use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor, bail};
use std::ops::Range;

/// The memory of a text, of which a row reads some and where it leaves its own.
#[derive(Debug)]
pub struct Remembered<'a> {
    /// Keys and values of each layer, `[1, slots, kv_heads, head_dim]`.
    layers: &'a [(Tensor, Tensor)],
    slot: usize,
    seen: Range<usize>,
}

impl<'a> Remembered<'a> {
    /// Keys and values of each layer, `[1, slots, kv_heads, head_dim]` f32, of which the slots `seen` are read once the row's own
    /// were put into `slot`.
    #[must_use]
    pub fn new(layers: &'a [(Tensor, Tensor)], slot: usize, seen: Range<usize>) -> Self {
        Self { layers, slot, seen }
    }

    pub(super) fn layers(&self) -> usize {
        self.layers.len()
    }

    /// How many slots are read.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.seen.len()
    }

    /// Puts a row's keys and values into their slot of a layer.
    pub(super) fn put(&self, layer: usize, keys: &[f32], values: &[f32]) -> Result<()> {
        let (all_keys, all_values) = &self.layers[layer];
        for (all, row) in [(all_keys, keys), (all_values, values)] {
            let put = Put { row, slot: self.slot };
            #[expect(clippy::disallowed_methods, reason = "nobody learns from the memory")]
            all.inplace_op1(&put)?;
        }
        Ok(())
    }

    /// Keys and values of a layer, locked for reading.
    pub(super) fn operands(&self, layer: usize) -> [Operand<'a>; 2] {
        let (keys, values) = &self.layers[layer];
        [keys, values].map(|tensor| Operand::new(NAME, tensor))
    }

    /// Keys and values of a head that are seen.
    pub(super) fn of_head<'b>(
        &self,
        operands: &'b [Operand<'a>; 2],
        head: usize,
        head_dim: usize,
    ) -> Result<[Mat<'b>; 2]> {
        let stride = self.layers[0].0.dims()[2..].iter().product::<usize>();
        let first = self.seen.start * stride + head * head_dim;
        let [keys, values] = [operands[0].slice()?, operands[1].slice()?];
        match (keys.get(first..), values.get(first..)) {
            (Some(keys), Some(values)) => {
                Ok([keys, values].map(|data| Mat::rows(data, self.seen.len(), head_dim, stride)))
            }
            _ => Err(Error::shape(NAME, format!("head {head} in rows of {stride} numbers"))),
        }
    }
}

struct Put<'a> {
    row: &'a [f32],
    slot: usize,
}

impl InplaceOp1 for Put<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let (CpuStorage::F32(all), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            bail!("{NAME} take contiguous f32 memory on the CPU");
        };
        match all[start..end].chunks_exact_mut(self.row.len().max(1)).nth(self.slot) {
            Some(place) => place.copy_from_slice(self.row),
            None => bail!("{NAME}: slot {} of {:?}", self.slot, layout.dims()),
        }
        Ok(())
    }
}
