//! A residual sum and the norm of it in one pass over memory.

use super::rms_norm::{RmsNorm, rms_norm};
use crate::Result;
use candle_core::Tensor;

/// `sum = x + delta` and `rms_norm(sum, gain)`, all `[.., d]`, `gain: [d]` f32.
///
/// # Errors
/// If shapes do not fit.
pub fn residual_norm(x: &Tensor, delta: &Tensor, gain: &Tensor, eps: f64) -> Result<(Tensor, Tensor)> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return Ok(crate::cuda::residual_norm::forward(x, delta, gain, eps as f32)?);
    }
    let sum = (x + delta)?;
    let normed = rms_norm(&sum, Some(gain), eps)?;
    Ok((sum, normed))
}

/// The gradient of both summands, which is one tensor, and of the gain.
pub(crate) fn residual_norm_backward(
    sum: &Tensor,
    gain: &Tensor,
    dsum: Option<&Tensor>,
    dnormed: &Tensor,
    eps: f64,
) -> Result<(Tensor, Tensor)> {
    #[cfg(feature = "cuda")]
    if sum.device().is_cuda() {
        return Ok(crate::cuda::residual_norm::backward(
            sum, gain, dsum, dnormed, eps as f32,
        )?);
    }
    let (dx, dgain) = RmsNorm::new(eps).backward_gained(sum, gain, dnormed)?;
    match dsum {
        Some(dsum) => Ok(((dx + dsum)?, dgain)),
        None => Ok((dx, dgain)),
    }
}
