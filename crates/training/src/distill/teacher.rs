//! A frozen copy of the network.

use candle_core::{Device, Tensor};
use drdiff_kernels::Loaded;
use drdiff_model::{Checkpoint, Loading, Metadata, ModelConfig, Network, build};

use crate::Result;

/// The network of an earlier moment, with its weights by name so that a checkpoint can hold them.
pub(crate) struct Teacher {
    /// The round that it teaches.
    pub(crate) round: usize,
    /// Its weights, f32.
    pub(crate) weights: Vec<(String, Tensor)>,
    pub(crate) network: Network,
}

impl Teacher {
    /// A network with a copy of these weights: what they came from may be trained on.
    ///
    /// # Errors
    /// If a weight is missing or misshapen, or the memory cannot be had.
    pub(crate) fn new(
        round: usize,
        config: &ModelConfig,
        weights: &[(String, Tensor)],
        device: &Device,
    ) -> Result<Self> {
        let copies = weights
            .iter()
            .map(|(name, weight)| Ok((name.clone(), weight.copy()?.detach())));
        let weights = copies.collect::<Result<Vec<_>>>()?;
        let loaded = weights
            .iter()
            .map(|(name, weight)| (name.clone(), Loaded::Dense(weight.clone())));
        let checkpoint = Checkpoint {
            metadata: Metadata {
                config: config.clone(),
                step: 0,
                tokens: 0,
                tokenizer_hash: String::new(),
                commit: String::new(),
                training: serde_json::Value::Null,
            },
            tensors: loaded.collect(),
        };
        let (network, _) = build(checkpoint, device, Loading::Inference)?;
        Ok(Self {
            round,
            weights,
            network,
        })
    }
}
