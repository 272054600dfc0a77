//! The frozen language model that an adaptation began with.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use drdiff_attention::block_causal;
use drdiff_kernels::{Rotary, Taught, TilePlan};
use drdiff_model::{Imported, Input, Layout, Loading, Network, build_network};
use drdiff_routing::ComputeReport;

use super::Guided;
use crate::{Error, Result, TrainConfig};

/// The frozen original.
pub(crate) struct Original {
    network: Network,
    /// Its rows of the vocabulary in the dtype of its activations.
    table: Tensor,
    plan: Arc<TilePlan>,
    rotary: Rotary,
}

impl Original {
    /// A language model as the teacher of a run of this configuration, on the device of its network.
    ///
    /// # Errors
    /// If it does not predict next tokens of the same vocabulary, or the memory cannot be had.
    pub(crate) fn new(model: Imported, config: &TrainConfig, device: &Device) -> Result<Self> {
        let (vocab, wanted) = (model.config.vocab, config.model.vocab);
        if !model.config.next_token || vocab != wanted {
            return Err(Error::Config(format!(
                "the teacher must predict next tokens of the same vocabulary of {wanted}; name the language model that training began with"
            )));
        }
        let (network, _) = build_network(&model.config, model.tensors, device, Loading::Inference)?;
        let len = config.model.context;
        Ok(Self {
            table: network.head_rows()?.to_dtype(network.dtype())?,
            plan: TilePlan::new(&[block_causal(len, 1)?])?.into(),
            rotary: network.config().rotary(&[(0..len as i64).collect()], device)?,
            network,
        })
    }

    /// What it says of the open rows of a pass over `tokens`, `[batch * len]`.
    ///
    /// # Errors
    /// If an operation fails.
    pub(crate) fn teach(&self, tokens: &[u32], guided: &Guided) -> Result<Taught> {
        let device = self.network.device();
        let len = self.plan.queries();
        let layout = Layout {
            plan: self.plan.clone().into(),
            units: None,
            rotary: &self.rotary,
        };
        let segment = layout.segment(tokens.len() / len, len);
        let vector = |values: &[u32]| Tensor::from_slice(values, values.len(), device);
        let input = Input::discrete(vector(tokens)?);
        let tables = self.network.tables(None)?;
        let hidden = self
            .network
            .hidden(&tables, &input, &mut [segment], &mut ComputeReport::default())?;
        let h = self.network.evidence(&hidden)?.tensor().clone();
        Ok(Taught {
            h: h.index_select(&vector(&guided.rows)?, 0)?,
            table: self.table.clone(),
            bias: self.network.bias().to_dtype(DType::F32)?,
            shares: Tensor::from_slice(&guided.shares, guided.shares.len(), device)?,
        })
    }
}
