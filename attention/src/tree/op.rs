//! The whole operation, with its gradient.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use drdiff_kernels::Value;

use super::backward::{self, Upstream};
use super::constants::Siblings;
use super::forward::{self, Given, Nodes, Stage};
use super::rows;
use super::shape::Tree;
use crate::Result;

/// Attention over `tree`: `q: [B, T, H, D]`, `k` and `v: [B, T, G, D]` to `[B, T, H, D]`, with gradients.
///
/// Where the logits of all pairs below any two siblings are equal, and for a tree of one level, this is exact softmax
/// attention. Query head h reads key head `h / (H / G)`. Rotate queries and keys before: their means stand for them.
///
/// # Errors
/// If shapes do not fit each other or the tree.
pub fn tree_attention(q: &Value, k: &Value, v: &Value, tree: &Arc<Tree>, scale: f64) -> Result<Value> {
    let (local, lse) = q.tile_attention(k, v, tree.plan(), scale)?;
    if tree.upper().is_empty() {
        return Ok(local);
    }
    let inputs = [q, k, v, &local, &lse];
    let (pass, out) = Pass::new(inputs.map(Value::tensor), tree, scale)?;
    let [out] = Value::record(&inputs, [out], move |[upstream]| match upstream {
        Some(upstream) => Ok(pass.backward(&upstream)?),
        None => Ok(Vec::new()),
    });
    Ok(out)
}

/// What the backward pass needs of the forward pass.
struct Pass {
    tree: Arc<Tree>,
    scale: f64,
    heads: usize,
    key_heads: usize,
    dtype: DType,
    /// `[B, T, H, D]`, attention within the lowest nodes.
    local: Tensor,
    stages: Vec<Stage>,
    /// What the nodes of each level have, the lowest first.
    given: Vec<Given>,
}

impl Pass {
    fn new([q, k, v, local, lse]: [&Tensor; 5], tree: &Arc<Tree>, scale: f64) -> Result<(Self, Tensor)> {
        let (heads, key_heads) = (q.dim(2)?, k.dim(2)?);
        let times = heads / key_heads;
        let leaves = Nodes {
            q: rows::means(q, tree)?,
            k: rows::share(&rows::means(k, tree)?, times)?,
            v: rows::share(&rows::means(v, tree)?, times)?,
            energy: rows::means_of_scalars(lse, tree)?.neg()?,
        };
        let (stages, given) = forward::sweep(Siblings::of(tree, q.device())?, leaves, scale)?;
        let dtype = q.dtype();
        let pass = Self {
            tree: tree.clone(),
            scale,
            heads,
            key_heads,
            dtype,
            local: local.clone(),
            stages,
            given,
        };
        let outside = rows::at_positions(&pass.given[0].outside, heads, tree)?;
        let out = (pass.times_inside(local)? + outside)?.to_dtype(dtype)?;
        Ok((pass, out))
    }

    /// Rows of positions times the weight that their node keeps, in f32.
    fn times_inside(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let inside = rows::at_positions(&self.given[0].inside, self.heads, &self.tree)?;
        x.to_dtype(DType::F32)?.broadcast_mul(&inside)
    }

    /// Gradients of queries, keys, values, and the output and log-sum-exps of attention within the lowest nodes.
    fn backward(self, dout: &Tensor) -> drdiff_kernels::Result<Vec<Option<Tensor>>> {
        let wide = dout.to_dtype(DType::F32)?;
        let along = (&wide * self.local.to_dtype(DType::F32)?)?.sum_keepdim(3)?;
        let upstream = Upstream {
            sum: rows::gather(&wide, &self.tree)?,
            inside: rows::gather(&along, &self.tree)?,
        };
        let of_nodes = backward::sweep(&self.stages, &self.given, upstream, self.scale)?;
        let times = self.heads / self.key_heads;
        let spread = |x: &Tensor, heads| rows::scatter(x, heads, &self.tree)?.to_dtype(self.dtype);
        let dlocal = self.times_inside(dout)?;
        let dlse = rows::scatter_scalars(&of_nodes.energy.squeeze(2)?.neg()?, self.heads, &self.tree)?;
        Ok(vec![
            Some(spread(&of_nodes.q, self.heads)?),
            Some(spread(&rows::unshare(&of_nodes.k, times)?, self.key_heads)?),
            Some(spread(&rows::unshare(&of_nodes.v, times)?, self.key_heads)?),
            Some(dlocal.to_dtype(self.dtype)?),
            Some(dlse),
        ])
    }
}
