//! Where a network that retrieves chunks makes them, and where it reads them.

use std::sync::Arc;

use candle_core::Tensor;
use drdiff_attention::retrieval::{ChunkEncoder, Chunks, Field, RetrievalAttention};
use drdiff_attention::{Segment, Shape};
use drdiff_kernels::{Builder, Value};

use crate::block::Norm;
use crate::{ModelConfig, Result};

/// The sizes of attention in a network of this shape.
pub(crate) fn shape(config: &ModelConfig) -> Shape {
    Shape {
        width: config.width,
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_dim: config.head_dim,
        norm_eps: config.qk_norm_eps.map(|eps| eps as f32),
        bias: config.qkv_bias,
    }
}

/// Which rows of these inputs look for something in the text: those that do not hold a token.
pub(crate) fn asking(index: &[u32], vocab: usize) -> Arc<[bool]> {
    index.iter().map(|id| *id as usize >= vocab).collect()
}

/// What makes the chunks that all layers retrieve from, out of the stream between the two halves of the network.
pub(crate) struct Memory {
    /// The first layer of the upper half.
    pub(crate) layer: usize,
    encoder: ChunkEncoder,
}

impl Memory {
    /// The memory of a network of this shape, if it retrieves.
    pub(crate) fn new(builder: &Builder, config: &ModelConfig) -> Result<Option<Self>> {
        let Some(numbers) = config.attention.retrieves() else {
            return Ok(None);
        };
        let eps = config.norm_eps;
        let encoder = ChunkEncoder::new(builder, shape(config), numbers.landmark, config.rope_base, eps)?;
        let layer = config.layers / 2;
        Ok(Some(Self { layer, encoder }))
    }

    pub(crate) fn encode(&self, x: &Value, rows: &Tensor) -> Result<Chunks> {
        Ok(self.encoder.forward(x, rows)?)
    }

    /// `asking` says which rows of the pass look for something.
    pub(crate) fn read(&self, x: &Value, segments: &mut [Segment<'_>], asking: &[bool]) -> Result<Vec<Field>> {
        let mut fields = self.encoder.read(x, segments)?;
        let mut first = 0;
        for field in &mut fields {
            let end = first + field.batch * field.units.rows();
            field.asking = asking.get(first..end).map(Arc::from);
            first = end;
        }
        Ok(fields)
    }
}

/// What a layer has beside its attention if it retrieves.
pub(crate) struct Retriever {
    pub(crate) norm: Norm,
    pub(crate) attention: RetrievalAttention,
}

impl Retriever {
    /// The retriever of the block at `builder`, the block `layer` of the network, if it has one.
    pub(crate) fn new(builder: &Builder, config: &ModelConfig, layer: usize, out_std: f64) -> Result<Option<Self>> {
        let Some(numbers) = config.attention.retrieves() else {
            return Ok(None);
        };
        if !numbers.layers(config.layers)?.contains(&layer) {
            return Ok(None);
        }
        let (found, eps) = ((numbers.top_k, numbers.landmark), config.norm_eps);
        let place = builder.scope("retrieval");
        Ok(Some(Self {
            norm: Norm::new(&builder.scope("retrieval_norm"), config)?,
            attention: RetrievalAttention::new(&place, shape(config), found, out_std, eps)?,
        }))
    }
}
