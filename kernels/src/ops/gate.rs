//! A residual branch that is let through by a gate of its own (adaLN-Zero of Peebles and Xie, "Scalable diffusion models
//! with transformers", 2023, whose gate is `1 + gate` here).

use crate::Result;
use candle_core::Tensor;

/// `x + delta (1 + gate)`, all of one shape and dtype.
///
/// # Errors
/// If the shapes differ.
pub fn gated_add(x: &Tensor, delta: &Tensor, gate: &Tensor) -> Result<Tensor> {
    same_shape("gated_add", x, &[delta, gate])?;
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return Ok(crate::cuda::gate::forward(x, delta, gate)?);
    }
    Ok((x + (delta * (gate + 1.0)?)?)?)
}

/// The gradients of the branch and of the gate; that of the stream is `dy` itself.
pub(crate) fn gated_add_backward(delta: &Tensor, gate: &Tensor, dy: &Tensor) -> Result<[Tensor; 2]> {
    #[cfg(feature = "cuda")]
    if dy.device().is_cuda() {
        return Ok(crate::cuda::gate::backward(delta, gate, dy)?);
    }
    Ok([(dy * (gate + 1.0)?)?, (dy * delta)?])
}

/// Refuses tensors of another shape or dtype than the first.
pub(super) fn same_shape(op: &'static str, first: &Tensor, others: &[&Tensor]) -> Result<()> {
    let differs = |other: &&&Tensor| other.shape() != first.shape() || other.dtype() != first.dtype();
    match others.iter().find(differs) {
        None => Ok(()),
        Some(other) => Err(crate::Error::shape(
            op,
            format!(
                "{:?} {:?} beside {:?} {:?}",
                other.dims(),
                other.dtype(),
                first.dims(),
                first.dtype()
            ),
        )),
    }
}
