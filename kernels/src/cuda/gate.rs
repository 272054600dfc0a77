//! A stream and a gated branch.

use super::launch::{Module, launch, module, shape};
use super::operand::{Output, contiguous, device, suffix};
use candle_core::cuda_backend::cudarc::driver::LaunchConfig;
use candle_core::{DType, Result, Tensor};

const GATE: Module = module!("gate");
const BLOCK: usize = 256;

/// The kernel and its launch for `count` elements at these addresses.
fn kernel(kind: &str, dtype: DType, count: usize, addresses: &[u64]) -> Result<(String, LaunchConfig)> {
    let aligned = addresses.iter().all(|address| address.is_multiple_of(16));
    let step = if aligned { 8 } else { 1 };
    let name = format!("gated_add_{kind}_{}_{step}", suffix(dtype)?);
    Ok((name, shape((count.div_ceil(step * BLOCK), 1, 1), (BLOCK, 1), 0)))
}

/// `x + delta (1 + gate)`, all of one shape and dtype.
pub(crate) fn forward(x: &Tensor, delta: &Tensor, gate: &Tensor) -> Result<Tensor> {
    let (x, delta, gate) = (x.contiguous()?, delta.contiguous()?, gate.contiguous()?);
    let (device, dtype, count) = (device(&x)?, x.dtype(), x.elem_count());
    let out = Output::new(device, x.shape().clone(), dtype)?;
    if count > 0 {
        let at = [
            contiguous(&x, dtype)?,
            contiguous(&delta, dtype)?,
            contiguous(&gate, dtype)?,
        ];
        let (name, grid) = kernel("forward", dtype, count, &at)?;
        launch!(
            GATE,
            device,
            &name,
            grid,
            at[0],
            at[1],
            at[2],
            out.address,
            count as i64
        );
    }
    Ok(out.into_tensor())
}

/// The gradients of the branch and of the gate.
pub(crate) fn backward(delta: &Tensor, gate: &Tensor, dy: &Tensor) -> Result<[Tensor; 2]> {
    let (delta, gate, dy) = (delta.contiguous()?, gate.contiguous()?, dy.contiguous()?);
    let (device, dtype, count) = (device(&dy)?, dy.dtype(), dy.elem_count());
    let ddelta = Output::new(device, dy.shape().clone(), dtype)?;
    let dgate = Output::new(device, dy.shape().clone(), dtype)?;
    if count > 0 {
        let at = [
            contiguous(&delta, dtype)?,
            contiguous(&gate, dtype)?,
            contiguous(&dy, dtype)?,
        ];
        let (name, grid) = kernel("backward", dtype, count, &at)?;
        launch!(
            GATE,
            device,
            &name,
            grid,
            at[0],
            at[1],
            at[2],
            ddelta.address,
            dgate.address,
            count as i64
        );
    }
    Ok([ddelta, dgate].map(Output::into_tensor))
}
