//! AdamW, or Muon and AdamW, over the parameter registry, with clipping and a moving average of the weights.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use drdiff_kernels::{AdamWSlot, AdamWStep, Gradients, Moments, Params, adamw_all, global_norm};
use drdiff_model::ModelConfig;

use crate::muon::Muon;
use crate::{OptimizerConfig, Result};

/// One parameter with its optimiser state, all f32.
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) var: Var,
    /// First and second moment; `None` where Muon keeps the momentum.
    pub(crate) moments: Option<(Tensor, Tensor)>,
    pub(crate) average: Option<Tensor>,
    decays: bool,
}

/// AdamW (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2), and Muon for the maps of the blocks if it is switched
/// on. Matrices decay; embeddings, gains and biases do not.
pub struct Optimizer {
    pub(crate) slots: Vec<Slot>,
    pub(crate) muon: Option<Muon>,
    /// Updates made so far.
    pub(crate) updates: u64,
}

impl Optimizer {
    /// Fresh state for the learned parameters of a network.
    ///
    /// # Errors
    /// If the memory cannot be had.
    pub fn new(params: &Params, model: &ModelConfig, config: &OptimizerConfig) -> Result<Self> {
        let slots = params
            .vars()
            .map(|(name, var)| {
                Ok(Slot {
                    name: name.to_owned(),
                    var: var.clone(),
                    moments: match config.muon {
                        Some(_) if Muon::moves(name, model) => None,
                        _ => Some((var.zeros_like()?, var.zeros_like()?)),
                    },
                    average: if config.ema > 0.0 {
                        Some(var.as_tensor().copy()?.detach())
                    } else {
                        None
                    },
                    decays: var.rank() == 2 && name != "embedding",
                })
            })
            .collect::<Result<_>>()?;
        let muon = config.muon.map(|_| Muon::new(params, model)).transpose()?;
        Ok(Self {
            slots,
            muon,
            updates: 0,
        })
    }

    /// One update by gradients. Returns the norm of the whole gradient before clipping, a scalar on the device.
    ///
    /// # Errors
    /// If an operation fails.
    pub fn step(&mut self, mut gradients: Gradients, rate: f64, config: &OptimizerConfig) -> Result<Tensor> {
        let grads: Vec<Option<Tensor>> = self
            .slots
            .iter()
            .map(|slot| gradients.remove(slot.var.as_tensor()))
            .collect();
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
            weight_decay: config.weight_decay,
            bias1: 1.0 - config.beta1.powf(self.updates as f64),
            bias2: 1.0 - config.beta2.powf(self.updates as f64),
            // A young average forgets faster, or the random start would stay in it for long.
            ema_decay: config
                .ema
                .min((1.0 + self.updates as f64) / (10.0 + self.updates as f64)),
        };
        let directions = match (&mut self.muon, &config.muon) {
            (Some(muon), Some(config)) => muon.directions(&grads, &clip, config)?,
            _ => BTreeMap::new(),
        };
        let slots: Vec<AdamWSlot<'_>> = self
            .slots
            .iter()
            .zip(&grads)
            .enumerate()
            .filter_map(|(index, (slot, grad))| Some((slot, directions.get(&index).or(grad.as_ref())?)))
            .map(|(slot, grad)| AdamWSlot {
                param: &slot.var,
                grad,
                moments: slot.moments.as_ref().map(|(first, second)| Moments { first, second }),
                average: slot.average.as_ref(),
                decays: slot.decays,
            })
            .collect();
        adamw_all(&slots, &step, &clip)?;
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
