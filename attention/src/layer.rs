//! The attention layer: one linear map to queries, keys and values, QK-norm with RoPE, tile attention, one map back.

use std::sync::Arc;

use candle_core::Tensor;
use drdiff_kernels::{Builder, Init, Linear, Rotary, TilePlan, qk_norm_rope, tile_attention};

use crate::{KvCache, Result};

/// Sizes of one attention layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Width of the residual stream.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
}

/// Rows of a pass that belong together: `batch` sequences of `len` positions, one after another.
///
/// A pass may hold several segments, each with its own plan and cache, so that requests of different lengths share
/// the linear maps without padding and cannot see one another.
pub struct Segment<'a> {
    /// Sequences in this segment.
    pub batch: usize,
    /// Positions of each sequence.
    pub len: usize,
    /// Which keys each query reads; keys are the cache's committed positions, then the segment's own.
    pub plan: Arc<TilePlan>,
    /// Rotations of the segment's positions.
    pub rotary: &'a Rotary,
    /// Committed keys and values; needs `batch == 1`.
    pub cache: Option<&'a mut KvCache>,
}

/// Multi-head self-attention over a plan.
#[derive(Debug)]
pub struct SelfAttention {
    shape: Shape,
    qkv: Linear,
    q_gain: Tensor,
    k_gain: Tensor,
    out: Linear,
}

impl SelfAttention {
    /// Builds or loads the layer; `out_std` is the standard deviation of the output map at initialisation.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn new(builder: &Builder, shape: Shape, out_std: f64) -> Result<Self> {
        let Shape {
            width,
            heads,
            kv_heads,
            head_dim,
        } = shape;
        let std = (width as f64).powf(-0.5);
        Ok(Self {
            shape,
            qkv: builder.linear("qkv", (heads + 2 * kv_heads) * head_dim, width, Init::Normal(std))?,
            q_gain: builder.tensor("q_gain", head_dim, Init::Const(1.0))?,
            k_gain: builder.tensor("k_gain", head_dim, Init::Const(1.0))?,
            out: builder.linear("out", width, heads * head_dim, Init::Normal(out_std))?,
        })
    }

    /// `x`: `[rows, width]`, the rows of all segments one after another; returns the same shape.
    /// `layer` says which layer of the caches this is.
    ///
    /// # Errors
    /// If shapes do not fit or a cache is full.
    pub fn forward(&self, x: &Tensor, segments: &mut [Segment<'_>], layer: usize) -> Result<Tensor> {
        let qkv = self.qkv.forward(x)?;
        let mut parts = Vec::with_capacity(segments.len());
        let mut first = 0;
        for segment in segments.iter_mut() {
            let rows = segment.batch * segment.len;
            let own = if rows == qkv.dim(0)? {
                qkv.clone()
            } else {
                qkv.narrow(0, first, rows)?
            };
            parts.push(self.attend(&own, segment, layer)?);
            first += rows;
        }
        let mixed = match parts.as_slice() {
            [one] => one.clone(),
            many => Tensor::cat(many, 0)?,
        };
        Ok(self.out.forward(&mixed)?)
    }

    fn attend(&self, qkv: &Tensor, segment: &mut Segment<'_>, layer: usize) -> Result<Tensor> {
        let Shape {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.shape;
        let (b, t) = (segment.batch, segment.len);
        let qkv = qkv.reshape((b, t, heads + 2 * kv_heads, head_dim))?;
        let q = qk_norm_rope(&qkv.narrow(2, 0, heads)?, &self.q_gain, segment.rotary)?;
        let k = qk_norm_rope(&qkv.narrow(2, heads, kv_heads)?, &self.k_gain, segment.rotary)?;
        let v = qkv.narrow(2, heads + kv_heads, kv_heads)?;
        let (k, v) = match segment.cache.as_deref_mut() {
            Some(cache) => cache.extend(layer, &k, &v)?,
            None => (k, v),
        };
        let scale = (head_dim as f64).powf(-0.5);
        let attention = tile_attention(&q, &k, &v, &segment.plan, scale)?;
        Ok(attention.out.reshape((b * t, heads * head_dim))?)
    }
}
