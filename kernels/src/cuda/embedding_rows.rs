//! Rows of a table that an index names.

use super::launch::{Module, launch, module, shape};
use super::operand::{Input, Output, contiguous, suffix};
use candle_core::cuda_backend::CudaStorage;
use candle_core::{DType, Layout, Result, Shape, Tensor, bail};

const EMBEDDING_ROWS: Module = module!("embedding_rows");
// As in `cu/embedding_rows.cu`.
const WARPS: usize = 8;
const STEPS: usize = 4;

/// The rows `ids`, `[N]` u32 and contiguous, of `table: [V, d]`, f32 or bf16: `[N, d]`. Ids of V and above give zeros.
pub(crate) fn forward(ids: &Tensor, table: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
    let device = table.device.clone();
    let table = Input::fitting(table, layout, |table| table.row_stride().is_some())?;
    let (vocab, width) = table.layout.shape().dims2()?;
    let count = ids.elem_count();
    let out = Output::new(&device, (count, width), table.dtype)?;
    if count * width > 0 {
        let stride = table.row_stride().unwrap_or(width);
        let step = if table.by_eight(&[stride, width]) { 8 } else { 1 };
        let (blocks, slices) = (count.div_ceil(WARPS), width.div_ceil(32 * STEPS * step));
        if blocks > i32::MAX as usize || slices > usize::from(u16::MAX) {
            bail!("embedding: {count} rows of {width} are more than a grid has");
        }
        launch!(
            EMBEDDING_ROWS,
            &device,
            &format!("embedding_rows_{}_{step}", suffix(table.dtype)?),
            shape((blocks, slices, 1), (32, WARPS), 0),
            contiguous(ids, DType::U32)?,
            table.address,
            out.address,
            count as i64,
            vocab as u32,
            width as i32,
            stride as i64,
        );
    }
    Ok(out.into_storage())
}
