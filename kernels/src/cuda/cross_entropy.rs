//! Softmax cross-entropy of rows of logits.

use super::launch::{Module, launch, module, shape};
use super::operand::{Output, contiguous, device, suffix};
use candle_core::{DType, Result, Tensor};

const CROSS_ENTROPY: Module = module!("cross_entropy");
const BLOCK: usize = 512;

/// Gradient `(softmax(logits + bias) - onehot) * weight` of `[C, V]`, and nats `[C]` f32. The gradient is written over the
/// logits, which must be a fresh tensor that nobody else holds. A target of V or more takes nothing off its row, and has
/// no nats.
pub(crate) fn rows(logits: Tensor, bias: &Tensor, targets: &Tensor, weights: &Tensor) -> Result<(Tensor, Tensor)> {
    let logits = logits.contiguous()?;
    let (bias, targets, weights) = (bias.contiguous()?, targets.contiguous()?, weights.contiguous()?);
    let (count, vocab) = logits.dims2()?;
    let nats = Output::new(device(&logits)?, count, DType::F32)?;
    if count > 0 {
        let name = format!("cross_entropy_rows_{}", suffix(logits.dtype())?);
        launch!(
            CROSS_ENTROPY,
            device(&logits)?,
            &name,
            shape((count, 1, 1), (BLOCK, 1), 0),
            contiguous(&logits, logits.dtype())?,
            contiguous(&bias, DType::F32)?,
            contiguous(&targets, DType::U32)?,
            contiguous(&weights, DType::F32)?,
            nats.address,
            vocab as i32,
        );
    }
    Ok((logits, nats.into_tensor()))
}
