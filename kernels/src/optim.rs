//! The optimiser's arithmetic: AdamW with moments, decay, clipping and moving average in f32, in place.

use crate::ops::Operand;
use crate::{Error, Result};
use candle_core::{CpuStorage, DType, InplaceOp2, InplaceOp3, Layout, Tensor, Var, bail};
use rayon::prelude::*;

/// The numbers of one step (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay of the parameters that decay.
    pub weight_decay: f64,
    /// `1 - beta1^t`.
    pub bias1: f64,
    /// `1 - beta2^t`.
    pub bias2: f64,
    /// Decay of the moving average of the parameter.
    pub ema_decay: f64,
}

/// Moving averages of a parameter's gradient, f32.
#[derive(Debug, Clone, Copy)]
pub struct Moments<'a> {
    /// Of the gradient.
    pub first: &'a Tensor,
    /// Of its square.
    pub second: &'a Tensor,
}

/// One parameter with its gradient and its state: contiguous tensors of one shape.
#[derive(Debug, Clone, Copy)]
pub struct AdamWSlot<'a> {
    /// The parameter, f32.
    pub param: &'a Var,
    /// Its gradient, f32 or bf16; need not be contiguous.
    pub grad: &'a Tensor,
    /// Its moments. Without them `grad` is a direction that another method has chosen: the learning rate times it is
    /// taken off as it is, without clipping.
    pub moments: Option<Moments<'a>>,
    /// Moving average of the parameter, f32.
    pub average: Option<&'a Tensor>,
    /// Whether [`AdamWStep::weight_decay`] applies.
    pub decays: bool,
}

impl AdamWSlot<'_> {
    fn check(&self) -> Result<()> {
        let param = self.param.as_tensor();
        let (first, second) = self.moments.map(|moments| (moments.first, moments.second)).unzip();
        let others = [Some(self.grad), first, second, self.average];
        match others
            .into_iter()
            .flatten()
            .find(|other| other.shape() != param.shape())
        {
            Some(other) => Err(Error::shape(
                "adamw_all",
                format!("{:?} for a parameter of {:?}", other.dims(), param.dims()),
            )),
            None => Ok(()),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "in place is what an optimiser step is; nothing here is tracked"
    )]
    fn step_cpu(&self, step: &AdamWStep, clip: f32) -> Result<()> {
        let grad = self.grad.detach().to_dtype(DType::F32)?.contiguous()?;
        let decay = if self.decays { step.weight_decay } else { 0.0 };
        let keep = (1.0 - step.lr * decay) as f32;
        if let Some(Moments { first, second }) = self.moments {
            let (beta1, beta2) = (step.beta1 as f32, step.beta2 as f32);
            first.inplace_op2(
                &grad,
                &Zip2(|m: &mut f32, g: f32| *m = beta1 * *m + (1.0 - beta1) * g * clip),
            )?;
            second.inplace_op2(
                &grad,
                &Zip2(|v: &mut f32, g: f32| *v = beta2 * *v + (1.0 - beta2) * (g * clip) * (g * clip)),
            )?;
            let rate = (step.lr / step.bias1) as f32;
            let root = (1.0 / step.bias2).sqrt() as f32;
            let eps = step.eps as f32;
            let advance = |p: &mut f32, m: f32, v: f32| *p = keep * *p - rate * m / (v.sqrt() * root + eps);
            self.param.inplace_op3(first, second, &Zip3(advance))?;
        } else {
            let rate = step.lr as f32;
            self.param
                .inplace_op2(&grad, &Zip2(|p: &mut f32, d: f32| *p = keep * *p - rate * d))?;
        }
        if let Some(average) = self.average {
            let decay = step.ema_decay as f32;
            average.inplace_op2(self.param, &Zip2(|e: &mut f32, p: f32| *e += (1.0 - decay) * (p - *e)))?;
        }
        Ok(())
    }
}

/// One step on all parameters of one device, in place on everything but the gradients: on CUDA in one launch.
///
/// Gradients are multiplied by `clip_scale`, an f32 scalar on that device.
///
/// # Errors
/// If shapes within a slot differ or a tensor has the wrong dtype.
pub fn adamw_all(slots: &[AdamWSlot<'_>], step: &AdamWStep, clip_scale: &Tensor) -> Result<()> {
    slots.iter().try_for_each(AdamWSlot::check)?;
    #[cfg(feature = "cuda")]
    if clip_scale.device().is_cuda() {
        return Ok(crate::cuda::adamw::step(slots, step, clip_scale)?);
    }
    let clip = clip_scale.to_scalar::<f32>()?;
    slots.iter().try_for_each(|slot| slot.step_cpu(step, clip))
}

/// The Euclidean norm of all gradients (f32 or bf16) together, an f32 scalar on their device; the same whatever the
/// threads.
///
/// # Errors
/// If there is no gradient, or one has another dtype.
pub fn global_norm(grads: &[Tensor]) -> Result<Tensor> {
    let Some(first) = grads.first() else {
        return Err(Error::shape("global_norm", "no gradients"));
    };
    #[cfg(feature = "cuda")]
    if first.device().is_cuda() {
        return Ok(crate::cuda::adamw::norm(grads)?);
    }
    let mut sum = 0.0;
    for grad in grads {
        let grad = grad.detach().to_dtype(DType::F32)?.contiguous()?;
        let operand = Operand::new("global_norm", &grad);
        let parts: Vec<f64> = operand
            .slice()?
            .par_chunks(CHUNK)
            .map(|chunk| chunk.iter().map(|&g| f64::from(g) * f64::from(g)).sum())
            .collect();
        sum += parts.iter().sum::<f64>();
    }
    Ok(Tensor::new(sum.sqrt() as f32, first.device())?)
}

/// Numbers that one task handles.
const CHUNK: usize = 1 << 14;

struct Zip2<F>(F);
struct Zip3<F>(F);

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(data), Some((start, end))) => Ok(&data[start..end]),
        _ => bail!("the optimiser takes contiguous f32 tensors"),
    }
}

fn slice_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> candle_core::Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(data), Some((start, end))) => Ok(&mut data[start..end]),
        _ => bail!("the optimiser takes contiguous f32 tensors"),
    }
}

impl<F: Fn(&mut f32, f32) + Sync> InplaceOp2 for Zip2<F> {
    fn name(&self) -> &'static str {
        "zip2"
    }

    fn cpu_fwd(&self, a: &mut CpuStorage, la: &Layout, b: &CpuStorage, lb: &Layout) -> candle_core::Result<()> {
        let (a, b) = (slice_mut(a, la)?, slice(b, lb)?);
        a.par_chunks_mut(CHUNK)
            .zip(b.par_chunks(CHUNK))
            .for_each(|(a, b)| a.iter_mut().zip(b).for_each(|(a, &b)| self.0(a, b)));
        Ok(())
    }
}

impl<F: Fn(&mut f32, f32, f32) + Sync> InplaceOp3 for Zip3<F> {
    fn name(&self) -> &'static str {
        "zip3"
    }

    fn cpu_fwd(
        &self,
        a: &mut CpuStorage,
        la: &Layout,
        b: &CpuStorage,
        lb: &Layout,
        c: &CpuStorage,
        lc: &Layout,
    ) -> candle_core::Result<()> {
        let (a, b, c) = (slice_mut(a, la)?, slice(b, lb)?, slice(c, lc)?);
        a.par_chunks_mut(CHUNK)
            .zip(b.par_chunks(CHUNK).zip(c.par_chunks(CHUNK)))
            .for_each(|(a, (b, c))| {
                a.iter_mut()
                    .zip(b.iter().zip(c))
                    .for_each(|(a, (&b, &c))| self.0(a, b, c));
            });
        Ok(())
    }
}
