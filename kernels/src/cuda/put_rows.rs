//! Rows written to places of a matrix.

use super::launch::{Module, launch, module, shape};
use super::operand::{Input, suffix};
use candle_core::cuda_backend::CudaStorage;
use candle_core::{DType, Layout, Result, bail};

const PUT_ROWS: Module = module!("put_rows");
const BLOCK: usize = 64;

/// See [`crate::put_rows`]; `table` is contiguous, shapes fit, and there are rows.
pub(crate) fn forward(
    (table, table_layout): (&mut CudaStorage, &Layout),
    (rows, rows_layout): (&CudaStorage, &Layout),
    (index, index_layout): (&CudaStorage, &Layout),
) -> Result<()> {
    let device = table.device.clone();
    let (count, width) = table_layout.shape().dims2()?;
    let rows = Input::fitting(rows, rows_layout, |rows| rows.row_stride().is_some())?;
    let (table, index) = (Input::new(table, table_layout)?, Input::new(index, index_layout)?);
    if rows.dtype != table.dtype || index.dtype != DType::U32 {
        bail!("put_rows: {:?} by {:?} into {:?}", rows.dtype, index.dtype, table.dtype);
    }
    let (written, stride) = (rows.layout.dims()[0], rows.row_stride().unwrap_or(width));
    let aligned = rows.by_eight(&[stride, width]) && table.by_eight(&[width]);
    let name = format!("put_rows_{}_{}", suffix(rows.dtype)?, if aligned { 8 } else { 1 });
    launch!(
        PUT_ROWS,
        &device,
        &name,
        shape((written, 1, 1), (BLOCK, 1), 0),
        table.address,
        rows.address,
        index.address,
        count as u32,
        width as i32,
        stride as i64,
    );
    Ok(())
}
