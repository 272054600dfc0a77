//! Long lists of numbers from their runs.

use super::launch::{Module, launch, module, shape};
use super::operand::{contiguous, device};
use candle_core::{DType, Result, Tensor, bail};

const FILL_RUNS: Module = module!("fill_runs");
// As in `cu/fill_runs.cu`.
const WARPS: usize = 8;

/// See [`crate::fill_runs`]; shapes and types fit.
pub(crate) fn forward(runs: [&Tensor; 3], len: usize, (fill, step): (u32, u32)) -> Result<Tensor> {
    let [starts, values, counts] = runs;
    if len == 0 {
        return Tensor::zeros(len, DType::U32, starts.device());
    }
    let out = Tensor::full(fill, len, starts.device())?;
    let count = starts.elem_count();
    if count > i32::MAX as usize - WARPS {
        bail!("fill_runs: {count} runs are more than a grid has");
    }
    if count > 0 {
        launch!(
            FILL_RUNS,
            device(starts)?,
            "fill_runs",
            shape((count.div_ceil(WARPS), 1, 1), (32, WARPS), 0),
            contiguous(starts, DType::U32)?,
            contiguous(values, DType::U32)?,
            contiguous(counts, DType::U32)?,
            contiguous(&out, DType::U32)?,
            len as u32,
            step,
            count as i32,
        );
    }
    Ok(out)
}
