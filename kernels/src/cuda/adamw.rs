//! The optimiser's step.

use super::launch::{Module, blocks, launch, module, shape};
use super::operand::{contiguous, device};
use crate::optim::AdamWStep;
use candle_core::cuda_backend::cudarc::driver::DeviceRepr;
use candle_core::{DType, Result, Tensor};

const ADAMW: Module = module!("adamw");
const BLOCK: usize = 256;

/// `Step` of `cu/adamw.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Step {
    beta1: f32,
    beta2: f32,
    eps: f32,
    rate: f32,
    keep: f32,
    root: f32,
    ema: f32,
}
// SAFETY: plain numbers in C's layout.
unsafe impl DeviceRepr for Step {}

/// One step, in place on `param`, `m`, `v` and `ema`: contiguous f32 tensors of one shape, as is `grad`.
pub(crate) fn step(
    param: &Tensor,
    grad: &Tensor,
    m: &Tensor,
    v: &Tensor,
    ema: Option<&Tensor>,
    step: &AdamWStep,
    clip_scale: &Tensor,
) -> Result<()> {
    let count = param.elem_count();
    if count == 0 {
        return Ok(());
    }
    let numbers = Step {
        beta1: step.beta1 as f32,
        beta2: step.beta2 as f32,
        eps: step.eps as f32,
        rate: (step.lr / step.bias1) as f32,
        keep: (1.0 - step.lr * step.weight_decay) as f32,
        root: (1.0 / step.bias2).sqrt() as f32,
        ema: step.ema_decay as f32,
    };
    launch!(
        ADAMW,
        device(param)?,
        "adamw",
        shape((blocks(count, BLOCK), 1, 1), (BLOCK, 1), 0),
        contiguous(param, DType::F32)?,
        contiguous(grad, DType::F32)?,
        contiguous(m, DType::F32)?,
        contiguous(v, DType::F32)?,
        ema.map(|ema| contiguous(ema, DType::F32)).transpose()?.unwrap_or(0),
        contiguous(clip_scale, DType::F32)?,
        count as i64,
        numbers,
    );
    Ok(())
}
