//! AdamW over the parameter registry, with clipping and a moving average of the weights.

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use drdiff_kernels::{AdamWStep, Params, adamw_step, global_norm};

use crate::{OptimizerConfig, Result};

/// One parameter with its optimiser state, all f32.
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) var: Var,
    pub(crate) first: Tensor,
    pub(crate) second: Tensor,
    pub(crate) average: Option<Tensor>,
    decays: bool,
}

/// AdamW (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2). Matrices decay; embeddings, gains and biases do not.
pub struct AdamW {
    pub(crate) slots: Vec<Slot>,
    /// Updates made so far.
    pub(crate) updates: u64,
}

/// Gradients of one step, in the order of the slots; `None` where a parameter took no part.
pub(crate) struct Gradients(Vec<Option<Tensor>>);

impl AdamW {
    /// Fresh state for the learned parameters of `params`.
    ///
    /// # Errors
    /// If the memory cannot be had.
    pub fn new(params: &Params, config: &OptimizerConfig) -> Result<Self> {
        let slots = params
            .vars()
            .map(|(name, var)| {
                Ok(Slot {
                    name: name.to_owned(),
                    var: var.clone(),
                    first: var.zeros_like()?,
                    second: var.zeros_like()?,
                    average: if config.ema > 0.0 {
                        Some(var.as_tensor().copy()?.detach())
                    } else {
                        None
                    },
                    decays: var.rank() == 2 && name != "embedding",
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { slots, updates: 0 })
    }

    /// One update by the gradient of `loss` alone, without accumulation.
    ///
    /// # Errors
    /// If an operation fails.
    pub fn update(&mut self, loss: &Tensor, rate: f64, config: &OptimizerConfig) -> Result<()> {
        let gradients = self.gather(&mut loss.backward()?, None)?;
        self.step(&gradients, rate, config)?;
        Ok(())
    }

    /// Takes this pass's gradients, or adds them to those of earlier passes of the step.
    pub(crate) fn gather(&self, store: &mut GradStore, so_far: Option<Gradients>) -> Result<Gradients> {
        let fresh = self.slots.iter().map(|slot| store.remove(slot.var.as_tensor()));
        let Some(Gradients(earlier)) = so_far else {
            return Ok(Gradients(fresh.collect()));
        };
        let added = fresh.zip(earlier).map(|(new, old)| match (new, old) {
            (Some(new), Some(old)) => Ok(Some((old + new)?)),
            (one, other) => Ok(one.or(other)),
        });
        Ok(Gradients(added.collect::<Result<_>>()?))
    }

    /// One update. Returns the norm of the whole gradient before clipping, a scalar on the device.
    pub(crate) fn step(&mut self, Gradients(grads): &Gradients, rate: f64, config: &OptimizerConfig) -> Result<Tensor> {
        let present: Vec<Tensor> = grads.iter().flatten().cloned().collect();
        let norm = global_norm(&present)?;
        let clip = norm
            .affine(1.0, 1e-6)?
            .recip()?
            .affine(config.clip, 0.0)?
            .minimum(1.0)?;
        self.updates += 1;
        let step = AdamWStep {
            lr: rate,
            beta1: config.beta1,
            beta2: config.beta2,
            eps: config.eps,
            weight_decay: 0.0,
            bias1: 1.0 - config.beta1.powf(self.updates as f64),
            bias2: 1.0 - config.beta2.powf(self.updates as f64),
            // A young average forgets faster, or the random start would stay in it for long.
            ema_decay: config
                .ema
                .min((1.0 + self.updates as f64) / (10.0 + self.updates as f64)),
        };
        for (slot, grad) in self.slots.iter().zip(grads) {
            let Some(grad) = grad else { continue };
            let step = AdamWStep {
                weight_decay: if slot.decays { config.weight_decay } else { 0.0 },
                ..step
            };
            adamw_step(
                &slot.var,
                grad,
                &slot.first,
                &slot.second,
                slot.average.as_ref(),
                &step,
                &clip,
            )?;
        }
        Ok(norm)
    }

    /// Runs `work` with the averaged weights in place of the current ones, and puts those back.
    pub(crate) fn with_average<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut kept = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            kept.push(slot.var.as_tensor().copy()?.detach());
            if let Some(average) = &slot.average {
                slot.var.set(average)?;
            }
        }
        let result = work();
        for (slot, weights) in self.slots.iter().zip(&kept) {
            slot.var.set(weights)?;
        }
        result
    }
}
