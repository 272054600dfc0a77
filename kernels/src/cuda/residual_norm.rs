//! A residual sum and its RMS norm.

use super::operand::{Input, Output, device};
use super::rms_norm::{self, Rows};
use candle_core::{Result, Tensor, bail};

/// `x + delta`, rounded to their dtype, and its RMS norm times the gain; `x`, `delta`: `[.., d]`, `gain: [d]` f32.
pub(crate) fn forward(x: &Tensor, delta: &Tensor, gain: &Tensor, eps: f32) -> Result<(Tensor, Tensor)> {
    if x.shape() != delta.shape() || x.dtype() != delta.dtype() {
        bail!("residual norm: {x:?} and {delta:?}");
    }
    let (x, delta, gain) = (x.contiguous()?, delta.contiguous()?, gain.contiguous()?);
    let device = device(&x)?;
    let (x_in, delta_in, gain_in) = (Input::of(&x)?, Input::of(&delta)?, Input::of(&gain)?);
    let sum = Output::new(device, x.shape().clone(), x.dtype())?;
    let normed = Output::new(device, x.shape().clone(), x.dtype())?;
    let rows = Rows::of(x.dims());
    rms_norm::launch_forward(
        device,
        &rows,
        &x_in,
        Some((&delta_in, &sum)),
        Some(&gain_in),
        &normed,
        eps,
    )?;
    Ok((sum.into_tensor(), normed.into_tensor()))
}

/// The gradients of both summands, which are one, and, in f32, of the gain: `dsum` is the gradient of the sum past the
/// norm.
pub(crate) fn backward(
    sum: &Tensor,
    gain: &Tensor,
    dsum: Option<&Tensor>,
    dnormed: &Tensor,
    eps: f32,
) -> Result<(Tensor, Tensor)> {
    let (dx, dgain) = rms_norm::gradients(sum, Some(gain), dsum, dnormed, eps)?;
    match dgain {
        Some(dgain) => Ok((dx, dgain)),
        None => bail!("residual norm: no gradient of the gain"),
    }
}
