//! Root-mean-square normalisation (Zhang and Sennrich, 2019), with or without a gain.

use super::cpu::{GROUP, Operand, Rows, sum_rows};
use crate::{Error, Result, simd};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};
use rayon::prelude::*;

const NAME: &str = "rms_norm";

/// `x / sqrt(mean(x^2) + eps) * gain` over the last dimension; `gain: [d]` is f32, 1 if absent.
///
/// A row of zeros gives zeros, with finite gradients.
///
/// # Errors
/// If the gain's length is not the last dimension of `x`.
pub fn rms_norm(x: &Tensor, gain: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    let width = x.dims().last().copied().unwrap_or(0);
    let op = RmsNorm::new(eps);
    match gain {
        None => Ok(x.apply_op1(op)?),
        Some(gain) if gain.dims() == [width] => Ok(x.apply_op2(&gain.contiguous()?, op)?),
        Some(gain) => Err(Error::shape(
            NAME,
            format!("gain {:?} for rows of {width}", gain.dims()),
        )),
    }
}

/// The operation behind [`rms_norm`].
pub(crate) struct RmsNorm {
    eps: f32,
}

/// `1 / sqrt(mean(x^2) + eps)`; 0 for a row of zeros even if eps is 0.
pub(super) fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    let power = simd::dot(x, x) / x.len() as f32 + eps;
    if power > 0.0 { power.sqrt().recip() } else { 0.0 }
}

/// A row over its root mean square, or as it is without an `eps`, times a gain.
pub(crate) fn norm_row(out: &mut [f32], x: &[f32], gain: &[f32], eps: Option<f32>) {
    let r = eps.map_or(1.0, |eps| inverse_rms(x, eps));
    let scaled = x.iter().zip(gain);
    out.iter_mut()
        .zip(scaled)
        .for_each(|(out, (&x, &gain))| *out = x * r * gain);
}

/// The gradient of one normalised row: `dx = r (g - xhat mean(g xhat))` with `g = dy gain`, `xhat = r x`.
///
/// `dx` comes in holding g. Returns r, which the gain's gradient `dy * r x` needs.
pub(super) fn row_backward(dx: &mut [f32], x: &[f32], eps: f32) -> f32 {
    let r = inverse_rms(x, eps);
    let pull = simd::dot(dx, x) * r * r * r / x.len() as f32;
    for (dx, &x) in dx.iter_mut().zip(x) {
        *dx = *dx * r - x * pull;
    }
    r
}

fn forward(x: &Rows<'_>, gain: Option<&[f32]>, eps: f32) -> Vec<f32> {
    let width = x.width();
    let mut out = vec![0.0; x.count() * width];
    if width > 0 {
        out.par_chunks_mut(width).enumerate().for_each(|(row, out)| {
            let x = x.row(row);
            match gain {
                None => {
                    let r = inverse_rms(x, eps);
                    out.iter_mut().zip(x).for_each(|(out, &x)| *out = x * r);
                }
                Some(gain) => norm_row(out, x, gain, Some(eps)),
            }
        });
    }
    out
}

/// The gradients of x and of the gain. The gain's is summed over fixed groups of rows, so that threads cannot change it.
fn backward(x: &Rows<'_>, gain: Option<&[f32]>, dy: &Rows<'_>, eps: f32) -> (Vec<f32>, Vec<f32>) {
    let width = x.width();
    let mut dx = vec![0.0; x.count() * width];
    if width == 0 {
        return (dx, Vec::new());
    }
    let partial: Vec<Vec<f32>> = dx
        .par_chunks_mut(width * GROUP)
        .enumerate()
        .map(|(group, dx)| {
            let mut dgain = vec![0.0; if gain.is_some() { width } else { 0 }];
            for (index, dx) in dx.chunks_mut(width).enumerate() {
                let row = group * GROUP + index;
                let (x, dy) = (x.row(row), dy.row(row));
                match gain {
                    None => dx.copy_from_slice(dy),
                    Some(gain) => dx
                        .iter_mut()
                        .zip(dy.iter().zip(gain))
                        .for_each(|(dx, (dy, gain))| *dx = dy * gain),
                }
                let r = row_backward(dx, x, eps);
                for (dgain, (x, dy)) in dgain.iter_mut().zip(x.iter().zip(dy)) {
                    *dgain += dy * x * r;
                }
            }
            dgain
        })
        .collect();
    (dx, sum_rows(&partial))
}

impl RmsNorm {
    pub(crate) fn new(eps: f64) -> Self {
        Self { eps: eps as f32 }
    }

    /// The gradient of x.
    pub(crate) fn backward(&self, x: &Tensor, dy: &Tensor) -> candle_core::Result<Tensor> {
        Ok(self.gradients(x, None, dy)?.0)
    }

    /// The gradients of x and of the gain.
    pub(crate) fn backward_gained(
        &self,
        x: &Tensor,
        gain: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Tensor, Tensor)> {
        match self.gradients(x, Some(gain), dy)? {
            (dx, Some(dgain)) => Ok((dx, dgain)),
            (_, None) => unreachable!("a gain has a gradient"),
        }
    }

    fn gradients(
        &self,
        x: &Tensor,
        gain: Option<&Tensor>,
        dy: &Tensor,
    ) -> candle_core::Result<(Tensor, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            let (x, gain) = (x.detach(), gain.map(Tensor::detach));
            return crate::cuda::rms_norm::backward(&x, gain.as_ref(), &dy.detach(), self.eps);
        }
        let (rows, dy) = (Operand::new(NAME, x), Operand::new(NAME, dy));
        let gains = gain.map(|gain| Operand::new(NAME, gain));
        let gains = gains.as_ref().map(Operand::slice).transpose()?;
        let (dx, dgain) = backward(&rows.rows()?, gains, &dy.rows()?, self.eps);
        let dx = Tensor::from_vec(dx, x.shape(), x.device())?;
        let dgain = gain
            .map(|gain| Tensor::from_vec(dgain, gain.shape(), gain.device()))
            .transpose()?;
        Ok((dx, dgain))
    }
}

impl CustomOp1 for RmsNorm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = forward(&Rows::new(NAME, storage, layout)?, None, self.eps);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        storage: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> candle_core::Result<(candle_core::CudaStorage, Shape)> {
        crate::cuda::rms_norm::forward(storage, layout, None, self.eps)
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        self.backward(x, dy).map(Some)
    }
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
        gain: &CpuStorage,
        gain_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let gain = Rows::new(NAME, gain, gain_layout)?;
        let out = forward(&Rows::new(NAME, storage, layout)?, Some(gain.row(0)), self.eps);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        storage: &candle_core::CudaStorage,
        layout: &Layout,
        gain: &candle_core::CudaStorage,
        gain_layout: &Layout,
    ) -> candle_core::Result<(candle_core::CudaStorage, Shape)> {
        crate::cuda::rms_norm::forward(storage, layout, Some((gain, gain_layout)), self.eps)
    }

    fn bwd(
        &self,
        x: &Tensor,
        gain: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dgain) = self.backward_gained(x, gain, dy)?;
        // A gradient for a constant would be kept until the end of the whole backward pass.
        Ok((x.track_op().then_some(dx), Some(dgain)))
    }
}
