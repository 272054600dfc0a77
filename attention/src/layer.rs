//! The attention layer: one linear map to queries, keys and values, QK-norm with RoPE, tile attention, one map back.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use drdiff_kernels::{Builder, HeadNorms, Init, Linear, Rotary, SelfAttend, Value, qk_norm_rope, tile_attention};

use crate::retrieval::Units;
use crate::tree::attend;
use crate::{Cohort, Error, KvCache, LayerPlans, Reads, Result, Tree, causal_attention, tree_attention};

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
    /// Added to the mean squares of head vectors of queries and keys before their root; without it they are not normed.
    pub norm_eps: Option<f32>,
    /// Whether queries, keys and values have a bias.
    pub bias: bool,
}

impl Shape {
    /// Heads of queries, keys and values together.
    fn all_heads(&self) -> usize {
        self.heads + 2 * self.kv_heads
    }
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
    /// Which keys each query reads, layer by layer; keys are those of the cache, then the segment's own, or as a sparse cache lays them
    /// out. If it has more queries than the segment has positions, the first of them are padding (see
    /// [`KvCache::plan`]).
    pub plan: LayerPlans,
    /// Which rows choose chunks together, if the network retrieves.
    pub units: Option<Arc<Units>>,
    /// Rotations of the segment's positions.
    pub rotary: &'a Rotary,
    /// Committed keys and values.
    pub past: Option<Past<'a>>,
}

/// Where the committed keys and values of a segment are.
pub enum Past<'a> {
    /// Those of one text, for a segment of one sequence.
    Cache(&'a mut KvCache),
    /// Those of several, for a segment of as many.
    Cohort(&'a Cohort),
}

/// Multi-head self-attention over a plan.
#[derive(Debug)]
pub struct SelfAttention {
    shape: Shape,
    qkv: Linear,
    bias: Option<Tensor>,
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
            norm_eps,
            bias: has_bias,
        } = shape;
        let parts = [heads, kv_heads, kv_heads].map(|heads| heads * head_dim);
        let std = (width as f64).powf(-0.5);
        let bias = || builder.tensor("qkv_bias", parts.iter().sum::<usize>(), Init::Const(0.0));
        let gain = |name| match norm_eps {
            Some(_) => builder.tensor(name, head_dim, Init::Const(1.0)),
            None => Ok(Tensor::ones(head_dim, DType::F32, builder.device())?),
        };
        Ok(Self {
            shape,
            qkv: builder.hidden("qkv", &parts, width, Init::Normal(std))?,
            bias: has_bias.then(bias).transpose()?,
            q_gain: gain("q_gain")?,
            k_gain: gain("k_gain")?,
            out: builder.hidden("out", &[width], heads * head_dim, Init::Residual(out_std))?,
        })
    }

    /// `x`: `[rows, width]`, the rows of all segments one after another; returns the same shape.
    /// `layer` says which layer of the caches this is.
    ///
    /// # Errors
    /// If shapes do not fit, a cache is full, or a pass that learns has more than one segment or a cache.
    pub fn forward(&self, x: &Value, segments: &mut [Segment<'_>], layer: usize) -> Result<Value> {
        let mut qkv = x.linear(&self.qkv)?;
        if let Some(bias) = &self.bias {
            qkv = qkv.add_bias(bias)?;
        }
        let mixed = match segments {
            [one] if one.past.is_none() => self.whole(&qkv, one, layer)?,
            _ if qkv.is_recorded() => return Err(Error::Segments),
            many if many.iter().any(|segment| segment.plan.local(layer).is_some()) => return Err(Error::Segments),
            many => self.parts(qkv.tensor(), many, layer)?,
        };
        Ok(mixed.linear(&self.out)?)
    }

    /// One segment that is its own context.
    fn whole(&self, qkv: &Value, segment: &Segment<'_>, layer: usize) -> Result<Value> {
        let Shape { heads, head_dim, .. } = self.shape;
        let (b, t) = (segment.batch, segment.len);
        let qkv = qkv.reshape((b, t, self.shape.all_heads(), head_dim))?;
        if let Some(local) = segment.plan.local(layer) {
            let [q, k, v] = qkv.queries_keys_values(self.norms(), &local.rotary, heads)?;
            let mixed = local.window.attend([&q, &k, &v], self.scale())?;
            return Ok(mixed.reshape((b * t, heads * head_dim))?);
        }
        let mixed = match segment.plan.of(layer) {
            Reads::Tiles(plan) => qkv.self_attention(&SelfAttend {
                norms: self.norms(),
                rotary: segment.rotary,
                plan,
                heads,
                scale: self.scale(),
            })?,
            Reads::Trees { tree, texts } => self.trees(&qkv, segment, tree, *texts)?,
            Reads::Causal(tree) => {
                let [q, k, v] = qkv.queries_keys_values(self.norms(), segment.rotary, heads)?;
                causal_attention(&q, &k, &v, tree, self.scale())?
            }
        };
        Ok(mixed.reshape((b * t, heads * head_dim))?)
    }

    /// Texts that lie one behind the other in each sequence, each over its own tree.
    fn trees(&self, qkv: &Value, segment: &Segment<'_>, tree: &Arc<Tree>, texts: usize) -> Result<Value> {
        let Shape {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.shape;
        let [q, k, v] = qkv.queries_keys_values(self.norms(), segment.rotary, heads)?;
        let of_text = |x: &Value, heads| x.reshape((segment.batch * texts, tree.positions(), heads, head_dim));
        let (q, k, v) = (of_text(&q, heads)?, of_text(&k, kv_heads)?, of_text(&v, kv_heads)?);
        tree_attention(&q, &k, &v, tree, self.scale())
    }

    /// Segments side by side, each with its own plan and cache.
    fn parts(&self, qkv: &Tensor, segments: &mut [Segment<'_>], layer: usize) -> Result<Value> {
        let mut parts = Vec::with_capacity(segments.len());
        let mut first = 0;
        for segment in segments {
            let rows = segment.batch * segment.len;
            parts.push(self.attend(&qkv.narrow(0, first, rows)?, segment, layer)?);
            first += rows;
        }
        let mixed = match parts.as_slice() {
            [one] => one.clone(),
            many => Tensor::cat(many, 0)?,
        };
        Ok(Value::constant(&mixed))
    }

    fn attend(&self, qkv: &Tensor, segment: &mut Segment<'_>, layer: usize) -> Result<Tensor> {
        let (heads, head_dim) = (self.shape.heads, self.shape.head_dim);
        let (b, t) = (segment.batch, segment.len);
        if let Some(Past::Cohort(cohort)) = segment.past {
            return self.seated(qkv, (b, t, segment.rotary), cohort, layer);
        }
        let qkv = qkv.reshape((b, t, self.shape.all_heads(), head_dim))?;
        let out = match segment.plan.of(layer).clone() {
            Reads::Tiles(plan) => {
                let [q, k, v] = self.with_past(&qkv, plan.queries(), segment, layer)?;
                tile_attention(&q, &k, &v, &plan, self.scale())?.out
            }
            // A block that is the whole text: nothing of it is kept.
            Reads::Trees { tree, texts } => {
                let mixed = self.trees(&Value::constant(&qkv), segment, &tree, texts)?;
                mixed.tensor().reshape((b, t, heads, head_dim))?
            }
            Reads::Causal(tree) => {
                let parts = self.with_past(&qkv, tree.queries(), segment, layer)?;
                let [q, k, v] = parts.each_ref().map(Value::constant);
                let mixed = match &segment.past {
                    Some(Past::Cache(cache)) => attend(&q, [&k, &v], &cache.nodes(layer)?, &tree, self.scale())?,
                    _ => causal_attention(&q, &k, &v, &tree, self.scale())?,
                };
                mixed.tensor().clone()
            }
        };
        let lead = out.dim(1)? - t;
        Ok(out.narrow(1, lead, t)?.reshape((b * t, heads * head_dim))?)
    }

    /// Queries of a segment behind padding, `queries` in all, and the keys and values that they may read: those of the cache, if
    /// there is one, which takes in the segment's own.
    fn with_past(&self, qkv: &Tensor, queries: usize, segment: &mut Segment<'_>, layer: usize) -> Result<[Tensor; 3]> {
        let Shape { heads, kv_heads, .. } = self.shape;
        let HeadNorms {
            gains: [q_gain, k_gain],
            eps,
        } = self.norms();
        let q = qk_norm_rope(&qkv.narrow(2, 0, heads)?, q_gain, eps, segment.rotary)?;
        let k = qk_norm_rope(&qkv.narrow(2, heads, kv_heads)?, k_gain, eps, segment.rotary)?;
        let v = qkv.narrow(2, heads + kv_heads, kv_heads)?;
        let (k, v) = match &mut segment.past {
            Some(Past::Cache(cache)) => cache.extend(layer, &k, &v)?,
            _ => (k, v),
        };
        let q = match queries.saturating_sub(segment.len) {
            0 => q,
            lead => q.pad_with_zeros(1, lead, 0)?,
        };
        Ok([q, k, v])
    }

    /// `b` texts of a bank, each with `t` positions, in one call.
    fn seated(
        &self,
        qkv: &Tensor,
        (b, t, rotary): (usize, usize, &Rotary),
        cohort: &Cohort,
        layer: usize,
    ) -> Result<Tensor> {
        let Shape {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.shape;
        let shared = kv_heads * head_dim;
        let each = Value::constant(&qkv.reshape((b, t, self.shape.all_heads(), head_dim))?);
        let [q, k, _] = each.queries_keys_values(self.norms(), rotary, heads)?;
        let k = k.tensor().reshape((b * t, shared))?;
        let v = qkv.narrow(1, (heads + kv_heads) * head_dim, shared)?;
        let (k, v) = cohort.extend(layer, &k, &v)?;
        let attention = tile_attention(q.tensor(), &k, &v, cohort.plan(), self.scale())?;
        Ok(attention.out.reshape((b * t, heads * head_dim))?)
    }

    fn norms(&self) -> HeadNorms<'_> {
        HeadNorms {
            gains: [&self.q_gain, &self.k_gain],
            eps: self.shape.norm_eps,
        }
    }

    /// `1 / sqrt(D)`.
    fn scale(&self) -> f64 {
        (self.shape.head_dim as f64).powf(-0.5)
    }
}
