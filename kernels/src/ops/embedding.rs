//! Rows of a table, with a gradient that does not depend on threads.

use super::cpu::{Operand, Rows};
use crate::{Error, Result, simd};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Storage, Tensor, bail};
use rayon::prelude::*;

const NAME: &str = "embedding";

/// The rows `ids` (`[N]`, u32) of `table` (`[V, d]`), as `[N, d]`.
///
/// The table's gradient is summed in f32, each row in the order of its ids (candle's own accumulates in the table's
/// dtype, and on CUDA walks over all ids for every column; its rows, too, are counted in 32 bits there, which the pairs of
/// a long text do not fit into).
///
/// # Errors
/// If the shapes do not fit, or on the CPU if an id is not below V; on a GPU such rows are zeros.
pub fn embedding(ids: &Tensor, table: &Tensor) -> Result<Tensor> {
    if ids.rank() != 1 || table.rank() != 2 || ids.dtype() != candle_core::DType::U32 {
        let problem = format!("ids {:?} ({:?}), table {:?}", ids.dims(), ids.dtype(), table.dims());
        return Err(Error::shape(NAME, problem));
    }
    Ok(table.apply_op1(Embedding { ids: ids.contiguous()? })?)
}

struct Embedding {
    ids: Tensor,
}

impl Embedding {
    fn shape(&self, table: &Layout) -> Shape {
        Shape::from((self.ids.elem_count(), table.dims()[1]))
    }
}

impl CustomOp1 for Embedding {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (ids, ids_layout) = self.ids.storage_and_layout();
        match &*ids {
            Storage::Cpu(ids) => Ok((table.index_select(ids, layout, ids_layout, 0)?, self.shape(layout))),
            _ => bail!("{NAME}: ids and table on different devices"),
        }
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        table: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> candle_core::Result<(candle_core::CudaStorage, Shape)> {
        use candle_core::DType;
        if matches!(table.dtype(), DType::F32 | DType::BF16) {
            return crate::cuda::embedding_rows::forward(&self.ids, table, layout);
        }
        let (ids, ids_layout) = self.ids.storage_and_layout();
        match &*ids {
            Storage::Cuda(ids) => Ok((table.index_select(ids, layout, ids_layout, 0)?, self.shape(layout))),
            _ => bail!("{NAME}: ids and table on different devices"),
        }
    }

    fn bwd(&self, table: &Tensor, _: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        backward(&self.ids, table, dy).map(Some)
    }
}

/// The gradient of the table, in its dtype.
pub(crate) fn backward(ids: &Tensor, table: &Tensor, dy: &Tensor) -> candle_core::Result<Tensor> {
    let (vocab, width) = table.dims2()?;
    #[cfg(feature = "cuda")]
    if table.device().is_cuda() {
        return crate::cuda::embedding::backward(ids, &dy.detach(), vocab, table.dtype());
    }
    let ids = ids.to_vec1::<u32>()?;
    let dtable = scatter(&ids, &Operand::new(NAME, dy).rows()?, vocab, width);
    Tensor::from_vec(dtable, (vocab, width), table.device())
}

/// For each row of the table the sum of the rows of `dy` that came from it, in order.
fn scatter(ids: &[u32], dy: &Rows<'_>, vocab: usize, width: usize) -> Vec<f32> {
    let mut starts = vec![0usize; vocab + 1];
    for &id in ids {
        starts[id as usize + 1] += 1;
    }
    for id in 0..vocab {
        starts[id + 1] += starts[id];
    }
    let mut next = starts.clone();
    let mut order = vec![0usize; ids.len()];
    for (position, &id) in ids.iter().enumerate() {
        order[next[id as usize]] = position;
        next[id as usize] += 1;
    }
    let mut dtable = vec![0.0; vocab * width];
    if width > 0 {
        dtable.par_chunks_mut(width).enumerate().for_each(|(id, sum)| {
            for &position in &order[starts[id]..starts[id + 1]] {
                simd::add(sum, dy.row(position));
            }
        });
    }
    dtable
}
