//! The optimiser over the parameter registry: AdamW or Muon by kind of parameter, clipping, and a moving average of the
//! weights.

mod config;
mod slot;
mod stacks;
mod state;

use candle_core::Tensor;
use drdiff_kernels::{AdamWSlot, AdamWStep, Gradients, MuonStep, Params, adamw_all, global_norm};

pub use config::{MuonConfig, OptimizerConfig};
use slot::{Moments, Owner, Slot};
use stacks::Stack;
pub(crate) use state::is_of_state;

use crate::Result;

/// AdamW (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2) and, for the matrices inside the blocks, Muon if the
/// configuration says so (see [`MuonConfig`]). Matrices decay; embeddings, gains and biases do not.
pub struct Optimizer {
    slots: Vec<Slot>,
    stacks: Vec<Stack>,
    /// Updates made so far.
    updates: u64,
}

impl Optimizer {
    /// Fresh state for the learned parameters of `params`.
    ///
    /// # Errors
    /// If the memory cannot be had.
    pub fn new(params: &Params, config: &OptimizerConfig) -> Result<Self> {
        let muon = config.muon.is_some();
        let slots = params
            .vars()
            .map(|(name, var)| {
                let owner = if muon && params.hidden_parts(name).is_some() {
                    Owner::Muon
                } else {
                    Owner::AdamW(Moments {
                        first: var.zeros_like()?,
                        second: var.zeros_like()?,
                        decays: var.rank() == 2 && name != "embedding",
                    })
                };
                Ok(Slot {
                    name: name.to_owned(),
                    var: var.clone(),
                    average: if config.ema > 0.0 {
                        Some(var.as_tensor().copy()?.detach())
                    } else {
                        None
                    },
                    owner,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let stacks = if muon { Stack::all(params, &slots)? } else { Vec::new() };
        Ok(Self {
            slots,
            stacks,
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
        // A young average forgets faster, or the random start would stay in it for long.
        let ema_decay = config
            .ema
            .min((1.0 + self.updates as f64) / (10.0 + self.updates as f64));
        let step = AdamWStep {
            lr: rate,
            beta1: config.beta1,
            beta2: config.beta2,
            eps: config.eps,
            weight_decay: config.weight_decay,
            bias1: 1.0 - config.beta1.powf(self.updates as f64),
            bias2: 1.0 - config.beta2.powf(self.updates as f64),
            ema_decay,
        };
        let slots: Vec<AdamWSlot<'_>> = self
            .slots
            .iter()
            .zip(&grads)
            .filter_map(|(slot, grad)| slot.adamw(grad.as_ref()))
            .collect();
        adamw_all(&slots, &step, &clip)?;
        if let Some(MuonConfig { rate: scale, momentum }) = config.muon {
            let step = MuonStep {
                lr: rate,
                scale,
                momentum,
                weight_decay: config.weight_decay,
                ema_decay,
            };
            for stack in &mut self.stacks {
                stack.step(&self.slots, &grads, &step, &clip)?;
            }
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

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use drdiff_kernels::{Builder, Source};
    use drdiff_model::{ModelConfig, Network};
    use drdiff_noise::Noise;

    use super::*;

    fn params() -> Params {
        let model: ModelConfig = serde_json::from_str(
            r#"{"vocab": 40, "width": 32, "embed": 24, "layers": 2, "heads": 2, "kv_heads": 1, "head_dim": 16,
                "hidden": 48, "context": 32, "noise_conditioning": true,
                "routing": {"kind": "expert_choice", "experts": 3, "expert_hidden": 16}}"#,
        )
        .unwrap();
        let builder = Builder::new(Source::Init(Noise::new(1, 0)), &Device::Cpu);
        Network::new(&builder, &model, DType::F32).unwrap();
        builder.finish().0
    }

    #[test]
    fn every_parameter_has_exactly_one_owner() {
        let params = params();
        for muon in [None, Some(MuonConfig::default())] {
            let config = OptimizerConfig {
                muon,
                ..Default::default()
            };
            let optimizer = Optimizer::new(&params, &config).unwrap();
            let mut names = Vec::new();
            for (index, slot) in optimizer.slots.iter().enumerate() {
                let mut rows: Vec<usize> = Vec::new();
                for stack in &optimizer.stacks {
                    for (row, part) in stack.parts(index).unwrap() {
                        rows.extend(row..row + part.dim(0).unwrap());
                    }
                }
                rows.sort_unstable();
                match &slot.owner {
                    Owner::AdamW(_) => assert!(rows.is_empty(), "{} is moved twice", slot.name),
                    Owner::Muon => {
                        let all: Vec<usize> = (0..slot.var.dim(0).unwrap()).collect();
                        assert_eq!(rows, all, "{}: each row once", slot.name);
                        names.push(slot.name.as_str());
                    }
                }
            }
            assert_eq!(optimizer.slots.len(), params.len());
            let hidden = [
                "attention.qkv",
                "attention.out",
                "feed_forward.shared.gate_up",
                "feed_forward.shared.down",
            ];
            let mut wanted: Vec<String> = (0..2)
                .flat_map(|layer| hidden.map(|name| format!("blocks.{layer}.{name}")))
                .collect();
            wanted.extend(["gate_up", "down"].map(|name| format!("blocks.1.feed_forward.experts.{name}")));
            match muon {
                None => assert!(names.is_empty()),
                Some(_) => assert_eq!(names, wanted),
            }
        }
    }

    #[test]
    fn equal_shapes_share_a_stack() {
        let config = OptimizerConfig {
            muon: Some(MuonConfig::default()),
            ..Default::default()
        };
        let optimizer = Optimizer::new(&params(), &config).unwrap();
        let shapes: Vec<_> = optimizer.stacks.iter().map(|stack| stack.shape().to_vec()).collect();
        // Keys and values, and gate and up of each of 3 experts; their maps down; queries and the map out; the shared map
        // down; shared gate and up.
        let wanted = [[10, 16, 32], [3, 32, 16], [4, 32, 32], [2, 32, 48], [4, 48, 32]];
        assert_eq!(shapes, wanted);
    }
}
