//! The mean embedding under the predicted distribution: what solvers and self-conditioning read.

use super::entropy::probabilities_with_entropy;
use crate::{Error, Result};
use candle_core::{D, DType, Device, Shape, Tensor};

const NAME: &str = "mixture";
/// Rows whose logits exist at one time.
const CHUNK: usize = 4096;

/// `softmax(h table^T + bias) table`: `h: [N, d]`, `table: [V, d]` f32, `bias: [V]` f32, to `[N, d]` f32, without a
/// gradient. Memory is that of one chunk of rows times V. On CUDA probabilities have the dtype of `h`.
///
/// # Errors
/// If shapes do not fit.
pub fn mixture(h: &Tensor, table: &Tensor, bias: &Tensor) -> Result<Tensor> {
    over_chunks([h, table, bias], probabilities)
}

/// [`mixture`], and how undecided each row is: the entropy of its softmax as a share of the largest possible, `[N]` f32,
/// without a gradient either.
///
/// # Errors
/// If shapes do not fit.
pub fn mixture_with_entropy(h: &Tensor, table: &Tensor, bias: &Tensor) -> Result<(Tensor, Tensor)> {
    let mut shares = Vec::new();
    let means = over_chunks([h, table, bias], |logits, bias| {
        let (p, share) = probabilities_with_entropy(logits, bias)?;
        shares.push(share);
        Ok(p)
    })?;
    let shares = join(&shares, 0, DType::F32, h.device())?;
    Ok((means, shares))
}

/// The mean rows of `table` under the probabilities that `predict` makes of the logits of some rows and the bias.
fn over_chunks(
    [h, table, bias]: [&Tensor; 3],
    mut predict: impl FnMut(Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let [h, table, bias] = [h, table, bias].map(Tensor::detach);
    let ((rows, width), (vocab, table_width)) = (h.dims2()?, table.dims2()?);
    if width != table_width || bias.dims() != [vocab] {
        let problem = format!("h {:?}, table {:?}, bias {:?}", h.dims(), table.dims(), bias.dims());
        return Err(Error::shape(NAME, problem));
    }
    let cast = table.to_dtype(h.dtype())?;
    let mut parts = Vec::with_capacity(rows.div_ceil(CHUNK));
    for start in (0..rows).step_by(CHUNK) {
        let h = h.narrow(0, start, CHUNK.min(rows - start))?.contiguous()?;
        let p = predict(h.matmul(&cast.t()?)?, &bias)?;
        parts.push(p.matmul(&cast)?.to_dtype(DType::F32)?);
    }
    join(&parts, (0, width), DType::F32, h.device())
}

/// Chunks one below another, or a tensor of shape `empty` if there are none.
pub(super) fn join(parts: &[Tensor], empty: impl Into<Shape>, dtype: DType, device: &Device) -> Result<Tensor> {
    match parts {
        [] => Ok(Tensor::zeros(empty, dtype, device)?),
        [one] => Ok(one.clone()),
        many => Ok(Tensor::cat(many, 0)?),
    }
}

/// The softmax of `logits + bias`, in the dtype of the logits, which nobody else holds.
pub(super) fn probabilities(logits: Tensor, bias: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if logits.device().is_cuda() {
        let (rows, device) = (logits.dim(0)?, logits.device());
        let nothing = Tensor::full(u32::MAX, rows, device)?;
        let weights = Tensor::ones(rows, DType::F32, device)?;
        return Ok(crate::cuda::cross_entropy::rows(logits, bias, &nothing, &weights)?.0);
    }
    softmax(&logits.broadcast_add(bias)?)
}

/// The softmax over the last dimension, in the dtype of `logits`.
///
/// # Errors
/// If a tensor operation fails.
pub fn softmax(logits: &Tensor) -> Result<Tensor> {
    let weights = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?)?.exp()?;
    Ok(weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?)
}
