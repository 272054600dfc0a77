//! Per-head RMS norm, gain and rotary positions in one pass over queries or keys.
//!
//! QK norm: Henry et al. 2020. Rotary embedding: Su et al., "RoFormer", 2021, in the half-split form (i, i + D/2).

use super::cpu::{GROUP, Operand, Rows, sum_rows};
use super::rms_norm::{norm_row, row_backward};
#[cfg(feature = "cuda")]
use crate::tape::HeadNorms;
use crate::{Error, Result};
use candle_core::{CpuStorage, CustomOp2, Device, Layout, Shape, Tensor};
use rayon::prelude::*;

const NAME: &str = "qk_norm_rope";

/// The cosines and sines of the angles, `[P, T, D/2]` f32, with P = 1 for a batch that shares its positions.
#[derive(Debug, Clone)]
pub struct Rotary {
    /// Cosines.
    pub cos: Tensor,
    /// Sines.
    pub sin: Tensor,
}

impl Rotary {
    /// Angles `position * base^(-2i/D)` for each sequence's positions, in f64 with what the product rounds off: their
    /// differences, which are all that attention sees, are those of the first positions wherever a text stands, up to
    /// 2^53.
    ///
    /// # Errors
    /// If the sequences differ in length or the head dimension is odd.
    pub fn new(positions: &[Vec<i64>], head_dim: usize, base: f64, device: &Device) -> Result<Self> {
        if !head_dim.is_multiple_of(2) {
            return Err(Error::shape("rotary", format!("head dimension {head_dim} is odd")));
        }
        Self::with_frequencies(positions, &frequencies(head_dim, base), device)
    }

    /// [`Rotary::new`] with angles `position * frequencies[i]`, one frequency for each pair of a head.
    ///
    /// # Errors
    /// If the sequences differ in length.
    pub fn with_frequencies(positions: &[Vec<i64>], frequencies: &[f64], device: &Device) -> Result<Self> {
        let (sequences, length) = (positions.len(), positions.first().map_or(0, Vec::len));
        if positions.iter().any(|sequence| sequence.len() != length) {
            return Err(Error::shape("rotary", "sequences of different lengths"));
        }
        let half = frequencies.len();
        let positions: Vec<f64> = positions.iter().flatten().map(|&p| p as f64).collect();
        let (cos, sin): (Vec<f32>, Vec<f32>) = positions
            .iter()
            .flat_map(|p| frequencies.iter().map(move |f| cos_sin(*p, *f)))
            .unzip();
        let shape = (sequences, length, half);
        Ok(Self {
            cos: Tensor::from_vec(cos, shape, device)?,
            sin: Tensor::from_vec(sin, shape, device)?,
        })
    }
}

/// `base^(-2i/D)` for each pair of a head of `head_dim` numbers.
#[must_use]
pub fn frequencies(head_dim: usize, base: f64) -> Vec<f64> {
    let exponent = |i| -2.0 * f64::from(i) / head_dim as f64;
    (0..head_dim as u32 / 2).map(|i| base.powf(exponent(i))).collect()
}

/// Cosine and sine of `position * frequency`. What the product rounds off, up to 2^-53 of it, is a turn that can be seen
/// once the angle is large: it is added back.
fn cos_sin(position: f64, frequency: f64) -> (f32, f32) {
    let angle = position * frequency;
    let rest = position.mul_add(frequency, -angle);
    let ((sin, cos), (sin_rest, cos_rest)) = (angle.sin_cos(), rest.sin_cos());
    (
        (cos * cos_rest - sin * sin_rest) as f32,
        (sin * cos_rest + cos * sin_rest) as f32,
    )
}

/// RMS norm of every head vector, times the gain, rotated by its position: `x: [B, T, H, D]`, `gain: [D]` f32. `eps` is
/// added to mean squares before the root; without it vectors are not normed, only multiplied and rotated.
///
/// # Errors
/// If the shapes of `x`, `gain` and `rotary` do not fit.
pub fn qk_norm_rope(x: &Tensor, gain: &Tensor, eps: Option<f32>, rotary: &Rotary) -> Result<Tensor> {
    let (batch, length, _, head_dim) = x.dims4()?;
    let (sequences, positions, half) = rotary.cos.dims3()?;
    let fits = gain.dims() == [head_dim] && positions == length && 2 * half == head_dim;
    if !fits || (sequences != 1 && sequences != batch) {
        return Err(Error::shape(
            NAME,
            format!(
                "x {:?}, gain {:?}, angles {:?}",
                x.dims(),
                gain.dims(),
                rotary.cos.dims()
            ),
        ));
    }
    Ok(x.apply_op2(&gain.contiguous()?, QkNormRope::new(rotary, eps)?)?)
}

/// The operation behind [`qk_norm_rope`].
pub(super) struct QkNormRope {
    rotary: Rotary,
    eps: Option<f32>,
}

/// The angles of each row of `[B, T, H]`.
struct Angles<'a> {
    cos: &'a [f32],
    sin: &'a [f32],
    half: usize,
    heads: usize,
}

impl<'a> Angles<'a> {
    fn new((cos, sin): &'a (Operand<'_>, Operand<'_>), heads: usize, width: usize) -> candle_core::Result<Self> {
        Ok(Self {
            cos: cos.slice()?,
            sin: sin.slice()?,
            half: width / 2,
            heads,
        })
    }

    fn of_row(&self, row: usize) -> (&[f32], &[f32]) {
        // One shared sequence of positions repeats over the batch.
        let start = row / self.heads * self.half % self.cos.len();
        (&self.cos[start..start + self.half], &self.sin[start..start + self.half])
    }
}

/// Turns the pairs of a head; by -1 in the other `direction`.
pub(crate) fn rotate(row: &mut [f32], cos: &[f32], sin: &[f32], direction: f32) {
    let (first, second) = row.split_at_mut(cos.len());
    for ((a, b), (&cos, &sin)) in first.iter_mut().zip(second).zip(cos.iter().zip(sin)) {
        let sin = direction * sin;
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}

impl QkNormRope {
    pub(super) fn new(rotary: &Rotary, eps: Option<f32>) -> candle_core::Result<Self> {
        let rotary = Rotary {
            cos: rotary.cos.detach().contiguous()?,
            sin: rotary.sin.detach().contiguous()?,
        };
        Ok(Self { rotary, eps })
    }

    fn angles(&self) -> (Operand<'_>, Operand<'_>) {
        (
            Operand::new(NAME, &self.rotary.cos),
            Operand::new(NAME, &self.rotary.sin),
        )
    }
}

fn forward(x: &Rows<'_>, gain: &[f32], eps: Option<f32>, angles: &Angles<'_>) -> Vec<f32> {
    let width = x.width();
    let mut out = vec![0.0; x.count() * width];
    if width > 0 {
        out.par_chunks_mut(width * GROUP).enumerate().for_each(|(group, out)| {
            for (index, out) in out.chunks_mut(width).enumerate() {
                let row = group * GROUP + index;
                norm_row(out, x.row(row), gain, eps);
                let (cos, sin) = angles.of_row(row);
                rotate(out, cos, sin, 1.0);
            }
        });
    }
    out
}

fn backward(x: &Rows<'_>, gain: &[f32], eps: Option<f32>, angles: &Angles<'_>, dy: &Rows<'_>) -> (Vec<f32>, Vec<f32>) {
    let width = x.width();
    let mut dx = vec![0.0; x.count() * width];
    if width == 0 {
        return (dx, Vec::new());
    }
    let partial: Vec<Vec<f32>> = dx
        .par_chunks_mut(width * GROUP)
        .enumerate()
        .map(|(group, dx)| {
            let mut dgain = vec![0.0; width];
            let mut unrotated = vec![0.0; width];
            for (index, dx) in dx.chunks_mut(width).enumerate() {
                let row = group * GROUP + index;
                unrotated.copy_from_slice(dy.row(row));
                let (cos, sin) = angles.of_row(row);
                rotate(&mut unrotated, cos, sin, -1.0);
                dx.iter_mut()
                    .zip(unrotated.iter().zip(gain))
                    .for_each(|(dx, (dy, gain))| *dx = dy * gain);
                let x = x.row(row);
                let r = eps.map_or(1.0, |eps| row_backward(dx, x, eps));
                for (dgain, (x, dy)) in dgain.iter_mut().zip(x.iter().zip(&unrotated)) {
                    *dgain += dy * x * r;
                }
            }
            dgain
        })
        .collect();
    (dx, sum_rows(&partial))
}

impl CustomOp2 for QkNormRope {
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
        let x = Rows::new(NAME, storage, layout)?;
        let gain = Rows::new(NAME, gain, gain_layout)?;
        let angles = self.angles();
        let angles = Angles::new(&angles, layout.dims()[2], x.width())?;
        let out = forward(&x, gain.row(0), self.eps, &angles);
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
        let Rotary { cos, sin } = &self.rotary;
        crate::cuda::rotary::forward(storage, layout, gain, gain_layout, cos, sin, self.eps)
    }

    fn bwd(
        &self,
        x: &Tensor,
        gain: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dgain) = self.backward(x, gain, dy)?;
        Ok((Some(dx), Some(dgain)))
    }
}

impl QkNormRope {
    /// The gradients of x and of the gain.
    pub(super) fn backward(&self, x: &Tensor, gain: &Tensor, dy: &Tensor) -> candle_core::Result<(Tensor, Tensor)> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            let Rotary { cos, sin } = &self.rotary;
            return crate::cuda::rotary::backward(&x.detach(), &gain.detach(), cos, sin, &dy.detach(), self.eps);
        }
        let [rows, gains, dy] = [x, gain, dy].map(|tensor| Operand::new(NAME, tensor));
        let angles = self.angles();
        let angles = Angles::new(&angles, x.dim(2)?, x.dim(3)?)?;
        let (dx, dgain) = backward(&rows.rows()?, gains.slice()?, self.eps, &angles, &dy.rows()?);
        Ok((
            Tensor::from_vec(dx, x.shape(), x.device())?,
            Tensor::from_vec(dgain, gain.shape(), gain.device())?,
        ))
    }
}

/// The gradients of fused queries, keys and values, from those of normed queries and keys and of plain values, and of
/// both gains.
#[cfg(feature = "cuda")]
pub(super) fn qkv_backward(
    qkv: &Tensor,
    norms: HeadNorms<'_>,
    rotary: &Rotary,
    [dq, dk, dv]: [&Tensor; 3],
) -> candle_core::Result<(Tensor, Tensor, Tensor)> {
    let (cos, sin) = (rotary.cos.contiguous()?, rotary.sin.contiguous()?);
    crate::cuda::rotary::qkv_backward(qkv, norms, &cos, &sin, [dq, dk, dv])
}

/// Normed and rotated queries and keys of `qkv: [B, T, H + 2 G, D]` in one launch.
#[cfg(feature = "cuda")]
pub(super) fn qkv_forward(
    qkv: &Tensor,
    norms: HeadNorms<'_>,
    rotary: &Rotary,
    (heads, key_heads): (usize, usize),
) -> candle_core::Result<(Tensor, Tensor)> {
    let (cos, sin) = (rotary.cos.contiguous()?, rotary.sin.contiguous()?);
    crate::cuda::rotary::qkv_forward(qkv, norms, &cos, &sin, (heads, key_heads))
}
