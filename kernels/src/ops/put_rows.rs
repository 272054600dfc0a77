//! Rows written to places of a matrix, in place: how keys and values of many texts enter the memory that they share.

use super::cpu::Rows;
use crate::{Error, Result};
use candle_core::{CpuStorage, InplaceOp3, Layout, Tensor, bail};

const NAME: &str = "put_rows";

/// Makes row `i` of `rows: [n, d]` row `index[i]` of `table: [m, d]`, which is contiguous; `index: [n]` u32, without
/// repetition. Nothing is recorded: for memory that nobody learns from.
///
/// # Errors
/// If shapes or types do not fit, or an index on a CPU is `m` or more; on a GPU such rows are left out.
pub fn put_rows(table: &Tensor, rows: &Tensor, index: &Tensor) -> Result<()> {
    let ((_, width), (count, row)) = (table.dims2()?, rows.dims2()?);
    if width != row || index.dims() != [count] || !table.is_contiguous() || !index.is_contiguous() {
        let problem = format!("rows {rows:?} at {index:?} of {table:?}");
        return Err(Error::shape(NAME, problem));
    }
    if rows.elem_count() == 0 {
        return Ok(());
    }
    #[expect(clippy::disallowed_methods, reason = "the table carries no gradient")]
    Ok(table.inplace_op3(rows, index, &PutRows)?)
}

struct PutRows;

impl InplaceOp3 for PutRows {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        table: &mut CpuStorage,
        table_layout: &Layout,
        rows: &CpuStorage,
        rows_layout: &Layout,
        index: &CpuStorage,
        index_layout: &Layout,
    ) -> candle_core::Result<()> {
        let rows = Rows::new(NAME, rows, rows_layout)?;
        let (CpuStorage::F32(table), CpuStorage::U32(index)) = (table, index) else {
            bail!("{NAME} on the CPU takes f32 by u32");
        };
        let start = table_layout.start_offset();
        let table = &mut table[start..start + table_layout.shape().elem_count()];
        let index = &index[index_layout.start_offset()..];
        for (row, &to) in (0..rows.count()).zip(index) {
            let Some(place) = table.chunks_exact_mut(rows.width()).nth(to as usize) else {
                bail!("{NAME}: row {to} of {}", table_layout.dims()[0]);
            };
            place.copy_from_slice(rows.row(row));
        }
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        table: &mut candle_core::CudaStorage,
        table_layout: &Layout,
        rows: &candle_core::CudaStorage,
        rows_layout: &Layout,
        index: &candle_core::CudaStorage,
        index_layout: &Layout,
    ) -> candle_core::Result<()> {
        crate::cuda::put_rows::forward((table, table_layout), (rows, rows_layout), (index, index_layout))
    }
}
