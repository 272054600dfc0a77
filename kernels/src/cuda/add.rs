//! Sums of two tensors.

use super::launch::{Module, launch, module, shape};
use super::operand::{Output, contiguous, device, suffix};
use candle_core::{Result, Tensor, bail};

const ADD: Module = module!("add");
const BLOCK: usize = 256;

/// `a + b` of one shape and dtype.
pub(crate) fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.shape() != b.shape() {
        bail!("add: {:?} and {:?}", a.dims(), b.dims());
    }
    let (a, b) = (a.contiguous()?, b.contiguous()?);
    let (device, dtype, count) = (device(&a)?, a.dtype(), a.elem_count());
    let out = Output::new(device, a.shape().clone(), dtype)?;
    if count == 0 {
        return Ok(out.into_tensor());
    }
    let (a_at, b_at) = (contiguous(&a, dtype)?, contiguous(&b, dtype)?);
    let step = if (a_at | b_at).is_multiple_of(16) { 8 } else { 1 };
    let name = format!("add_{}_{step}", suffix(dtype)?);
    let grid = shape((count.div_ceil(step * BLOCK), 1, 1), (BLOCK, 1), 0);
    launch!(ADD, device, &name, grid, a_at, b_at, out.address, count as i64);
    Ok(out.into_tensor())
}
