//! The RMS norm of a stream with a scale and a shift for each row (adaLN of Peebles and Xie, "Scalable diffusion models
//! with transformers", 2023, section 3.2), together with the gated residual sum before it.

use super::cpu::{GROUP, Operand, sum_rows};
use super::gate::{gated_add, gated_add_backward, same_shape};
use super::rms_norm::{inverse_rms, row_backward};
use crate::{Error, Result};
use candle_core::Tensor;
use rayon::prelude::*;

const NAME: &str = "modulated_norm";

/// `sum`, and `rms_norm(sum, gain) (1 + scale) + shift`, with `sum = x + delta (1 + gate)`, or `x` if nothing is `added`.
///
/// `added` is delta and gate, `[.., d]` like `x`; `gain: [d]` f32; `modulation: [.., 2 d]` holds scale, then shift.
///
/// # Errors
/// If shapes do not fit.
pub fn modulated_norm(
    x: &Tensor,
    added: Option<[&Tensor; 2]>,
    gain: &Tensor,
    modulation: &Tensor,
    eps: f64,
) -> Result<(Tensor, Tensor)> {
    let width = x.dims().last().copied().unwrap_or(0);
    let mut wide = x.dims().to_vec();
    if let Some(last) = wide.last_mut() {
        *last = 2 * width;
    }
    if gain.dims() != [width] || modulation.dims() != wide || modulation.dtype() != x.dtype() {
        let (gain, modulation) = (gain.dims(), modulation.dims());
        let problem = format!("gain {gain:?} and modulation {modulation:?} for {:?}", x.dims());
        return Err(Error::shape(NAME, problem));
    }
    if let Some(added) = added {
        same_shape(NAME, x, &added)?;
    }
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return Ok(crate::cuda::modulated_norm::forward(
            x, added, gain, modulation, eps as f32,
        )?);
    }
    let sum = match added {
        Some([delta, gate]) => gated_add(x, delta, gate)?,
        None => x.clone(),
    };
    let normed = forward(&sum, &gain.contiguous()?, modulation, eps as f32)?;
    Ok((sum, normed))
}

/// The gradients of [`modulated_norm`]'s inputs; `added` are those of the branch and of its gate.
pub(crate) struct ModulatedGradients {
    pub(crate) x: Tensor,
    pub(crate) added: Option<[Tensor; 2]>,
    pub(crate) gain: Tensor,
    pub(crate) modulation: Tensor,
}

/// The gradients of all inputs, given `sum`, the gradient of it past the norm if there is one, and that of the norm.
pub(crate) fn modulated_norm_backward(
    sum: &Tensor,
    added: Option<[&Tensor; 2]>,
    gain: &Tensor,
    modulation: &Tensor,
    dsum: Option<&Tensor>,
    dnormed: &Tensor,
    eps: f64,
) -> Result<ModulatedGradients> {
    #[cfg(feature = "cuda")]
    if sum.device().is_cuda() {
        return Ok(crate::cuda::modulated_norm::backward(
            sum, added, gain, modulation, dsum, dnormed, eps as f32,
        )?);
    }
    let (mut dx, dgain, dmodulation) = backward(sum, &gain.contiguous()?, modulation, dnormed, eps as f32)?;
    if let Some(dsum) = dsum {
        dx = (dx + dsum)?;
    }
    let added = match added {
        Some([delta, gate]) => Some(gated_add_backward(delta, gate, &dx)?),
        None => None,
    };
    Ok(ModulatedGradients {
        x: dx,
        added,
        gain: dgain,
        modulation: dmodulation,
    })
}

fn forward(x: &Tensor, gain: &Tensor, modulation: &Tensor, eps: f32) -> Result<Tensor> {
    let operands = [x, gain, modulation].map(|tensor| Operand::new(NAME, tensor));
    let [rows, gain, modulation] = &operands;
    let (rows, gain, modulation) = (rows.rows()?, gain.slice()?, modulation.rows()?);
    let width = rows.width();
    let mut out = vec![0.0; rows.count() * width];
    if width > 0 {
        out.par_chunks_mut(width).enumerate().for_each(|(row, out)| {
            let x = rows.row(row);
            let (scale, shift) = modulation.row(row).split_at(width);
            let r = inverse_rms(x, eps);
            let numbers = x.iter().zip(gain).zip(scale.iter().zip(shift));
            for (out, ((x, gain), (scale, shift))) in out.iter_mut().zip(numbers) {
                *out = x * r * gain * (1.0 + scale) + shift;
            }
        });
    }
    Ok(Tensor::from_vec(out, x.shape(), x.device())?)
}

/// The gradients of x, gain and modulation. The gain's is summed over fixed groups of rows, so that threads cannot
/// change it.
fn backward(x: &Tensor, gain: &Tensor, modulation: &Tensor, dy: &Tensor, eps: f32) -> Result<(Tensor, Tensor, Tensor)> {
    let operands = [x, gain, modulation, dy].map(|tensor| Operand::new(NAME, tensor));
    let [rows, gains, modulations, dys] = &operands;
    let (rows, gains, modulations, dys) = (rows.rows()?, gains.slice()?, modulations.rows()?, dys.rows()?);
    let width = rows.width();
    let mut dx = vec![0.0; rows.count() * width];
    let mut dmodulation = vec![0.0; 2 * dx.len()];
    let group_len = GROUP * width.max(1);
    let partial: Vec<Vec<f32>> = dx
        .par_chunks_mut(group_len)
        .zip(dmodulation.par_chunks_mut(2 * group_len))
        .enumerate()
        .map(|(group, (dx, dmodulation))| {
            let mut dgain = vec![0.0; width];
            let outputs = dx.chunks_mut(width).zip(dmodulation.chunks_mut(2 * width));
            for (index, (dx, dmodulation)) in outputs.enumerate() {
                let row = group * GROUP + index;
                let (x, dy, scale) = (rows.row(row), dys.row(row), &modulations.row(row)[..width]);
                for (dx, (dy, (scale, gain))) in dx.iter_mut().zip(dy.iter().zip(scale.iter().zip(gains))) {
                    *dx = dy * (1.0 + scale) * gain;
                }
                let r = row_backward(dx, x, eps);
                let (dscale, dshift) = dmodulation.split_at_mut(width);
                dshift.copy_from_slice(dy);
                let numbers = x.iter().zip(dy).zip(scale.iter().zip(gains));
                for ((dgain, dscale), ((x, dy), (scale, gain))) in dgain.iter_mut().zip(dscale).zip(numbers) {
                    *dgain += dy * (1.0 + scale) * x * r;
                    *dscale = dy * x * r * gain;
                }
            }
            dgain
        })
        .collect();
    let dgain = if partial.is_empty() {
        vec![0.0; width]
    } else {
        sum_rows(&partial)
    };
    Ok((
        Tensor::from_vec(dx, x.shape(), x.device())?,
        Tensor::from_vec(dgain, width, x.device())?,
        Tensor::from_vec(dmodulation, modulation.shape(), x.device())?,
    ))
}
