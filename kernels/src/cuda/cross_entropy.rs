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

/// [`rows`] whose targets are a share of a teacher's distribution: `(softmax(logits + bias) - (1 - share) onehot - share
/// softmax(theirs + their bias)) * weight`, the nats of the tokens, and the cost of each row before its weight. `theirs` has the
/// shape and dtype of `logits`.
pub(crate) fn taught_rows(
    (logits, bias): (Tensor, &Tensor),
    (targets, weights): (&Tensor, &Tensor),
    (theirs, their_bias, shares): (&Tensor, &Tensor, &Tensor),
) -> Result<(Tensor, Tensor, Tensor)> {
    let (logits, theirs) = (logits.contiguous()?, theirs.contiguous()?);
    let (bias, their_bias) = (bias.contiguous()?, their_bias.contiguous()?);
    let (count, vocab) = logits.dims2()?;
    let [nats, costs] = [(); 2].map(|()| Output::new(device(&logits)?, count, DType::F32));
    let (nats, costs) = (nats?, costs?);
    if count > 0 {
        let name = format!("cross_entropy_taught_{}", suffix(logits.dtype())?);
        launch!(
            CROSS_ENTROPY,
            device(&logits)?,
            &name,
            shape((count, 1, 1), (BLOCK, 1), 0),
            contiguous(&logits, logits.dtype())?,
            contiguous(&bias, DType::F32)?,
            contiguous(targets, DType::U32)?,
            contiguous(weights, DType::F32)?,
            contiguous(&theirs, logits.dtype())?,
            contiguous(&their_bias, DType::F32)?,
            contiguous(shares, DType::F32)?,
            nats.address,
            costs.address,
            vocab as i32,
        );
    }
    Ok((logits, nats.into_tensor(), costs.into_tensor()))
}
