//! The whole operation, with its gradient.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use drdiff_kernels::{AttentionPass, Value};

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
    let inputs = [q, k, v];
    let pass = TreePass::new(inputs.map(Value::tensor), tree, scale)?;
    let [out] = Value::record(&inputs, [pass.out.clone()], move |[upstream]| match upstream {
        Some(upstream) => Ok(pass.backward(&upstream)?.map(Some).to_vec()),
        None => Ok(Vec::new()),
    });
    Ok(out)
}

/// A forward pass of [`tree_attention`], kept for its backward pass.
pub struct TreePass {
    /// Attention within the lowest nodes.
    local: AttentionPass,
    /// What lies above them, if anything does.
    above: Option<Above>,
    out: Tensor,
    tree: Arc<Tree>,
    scale: f64,
    /// `H / G`.
    queries_by_key: usize,
}

/// The levels above the lowest.
struct Above {
    stages: Vec<Stage>,
    /// What the nodes of each level have, the lowest first.
    given: Vec<Given>,
}

impl TreePass {
    /// See [`tree_attention`].
    ///
    /// # Errors
    /// As there.
    pub fn new([q, k, v]: [&Tensor; 3], tree: &Arc<Tree>, scale: f64) -> Result<Self> {
        let local = AttentionPass::new(q, k, v, tree.plan(), scale)?;
        let mut pass = Self {
            out: local.attention().out.clone(),
            local,
            above: None,
            tree: tree.clone(),
            scale,
            queries_by_key: q.dim(2)? / k.dim(2)?,
        };
        if !tree.upper().is_empty() {
            pass.sweep([q, k, v])?;
        }
        Ok(pass)
    }

    /// `[B, T, H, D]`.
    #[must_use]
    pub fn out(&self) -> &Tensor {
        &self.out
    }

    fn sweep(&mut self, [q, k, v]: [&Tensor; 3]) -> candle_core::Result<()> {
        let (tree, heads) = (&self.tree, q.dim(2)?);
        let local = self.local.attention();
        let leaves = Nodes {
            q: rows::means(q, tree)?,
            k: rows::share(&rows::means(k, tree)?, self.queries_by_key)?,
            v: rows::share(&rows::means(v, tree)?, self.queries_by_key)?,
            energy: rows::means_of_scalars(&local.lse, tree)?.neg()?,
        };
        let (stages, given) = forward::sweep(Siblings::of(tree, q.device())?, leaves, self.scale)?;
        let outside = rows::at_positions(&given[0].outside, heads, tree)?;
        self.out = (weigh(&local.out, &given[0], tree)? + outside)?.to_dtype(q.dtype())?;
        self.above = Some(Above { stages, given });
        Ok(())
    }

    /// The gradients of q, k and v from that of the output, `[B, T, H, D]`.
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn backward(&self, dout: &Tensor) -> drdiff_kernels::Result<[Tensor; 3]> {
        let Some(Above { stages, given }) = &self.above else {
            let (dq, dk, dv) = self.local.backward(dout, None)?;
            return Ok([dq, dk, dv]);
        };
        let (tree, heads, dtype) = (&self.tree, dout.dim(2)?, dout.dtype());
        let wide = dout.to_dtype(DType::F32)?;
        let inside = (&wide * self.local.attention().out.to_dtype(DType::F32)?)?.sum_keepdim(3)?;
        let upstream = Upstream {
            sum: rows::gather(&wide, tree)?,
            inside: rows::gather(&inside, tree)?,
        };
        let of_nodes = backward::sweep(stages, given, upstream, self.scale)?;
        let dlse = rows::scatter_scalars(&of_nodes.energy.squeeze(2)?.neg()?, heads, tree)?;
        let dlocal = weigh(dout, &given[0], tree)?.to_dtype(dtype)?;
        let (dq, dk, dv) = self.local.backward(&dlocal, Some(&dlse))?;
        let add = |exact: Tensor, of_nodes: &Tensor, heads| -> candle_core::Result<Tensor> {
            exact + rows::scatter(of_nodes, heads, tree)?.to_dtype(dtype)?
        };
        let key_heads = heads / self.queries_by_key;
        Ok([
            add(dq, &of_nodes.q, heads)?,
            add(dk, &rows::unshare(&of_nodes.k, self.queries_by_key)?, key_heads)?,
            add(dv, &rows::unshare(&of_nodes.v, self.queries_by_key)?, key_heads)?,
        ])
    }
}

/// Rows of positions, `[B, T, H, D]`, times the weight that their lowest node keeps, in f32.
fn weigh(x: &Tensor, leaves: &Given, tree: &Tree) -> candle_core::Result<Tensor> {
    let inside = rows::at_positions(&leaves.inside, x.dim(2)?, tree)?;
    x.to_dtype(DType::F32)?.broadcast_mul(&inside)
}
