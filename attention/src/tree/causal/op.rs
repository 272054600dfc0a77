//! Attention over a causal tree.

use candle_core::Tensor;
use drdiff_kernels::Value;

use super::CausalTree;
use super::means::{averaged, seated};
use crate::Result;

/// Means of keys and of values over the nodes of a level in their seats, `[B, S, G, D]`.
pub(crate) type Nodes = [Value; 2];

/// Attention over `tree` in the training layout: `q: [B, 2 N, H, D]`, `k` and `v: [B, 2 N, G, D]` to `[B, 2 N, H, D]`, with
/// gradients. Query head h reads key head `h / (H / G)`. Rotate queries and keys before: their means stand for them.
///
/// A text within one lowest node is exact softmax attention, and so is one whose nodes hold equal keys.
///
/// # Errors
/// If shapes do not fit each other or the tree.
pub fn causal_attention(q: &Value, k: &Value, v: &Value, tree: &CausalTree, scale: f64) -> Result<Value> {
    let (of_keys, of_values) = (nodes(k, tree)?, nodes(v, tree)?);
    let nodes: Vec<Nodes> = of_keys.into_iter().zip(of_values).map(|(k, v)| [k, v]).collect();
    attend(q, [k, v], &nodes, tree, scale)
}

/// The means of `x` that each level reads.
fn nodes(x: &Value, tree: &CausalTree) -> Result<Vec<Value>> {
    let (dtype, mut first) = (x.tensor().dtype(), tree.clean());
    let mut below = x.clone();
    let mut all = Vec::with_capacity(tree.levels().len());
    for level in tree.levels() {
        below = averaged(&below, first, (level.nodes, level.parts))?;
        all.push(seated(&below, level.seats, dtype)?);
        first = 0;
    }
    Ok(all)
}

/// Attention of `q`, `[B, T, H, D]`, to keys and values that are read position by position, `[B, S, G, D]`, and to the nodes of
/// each level: `[B, T, H, D]`.
pub(crate) fn attend(q: &Value, [k, v]: [&Value; 2], nodes: &[Nodes], tree: &CausalTree, scale: f64) -> Result<Value> {
    let (mut out, mut lse) = q.tile_attention(k, v, tree.exact(), scale)?;
    let levels = tree.levels().iter().zip(nodes);
    for (level, [k, v]) in levels.filter(|(level, _)| level.plan.cost().pairs > 0) {
        let (means, weight) = q.tile_attention(k, v, &level.plan, scale)?;
        let weight = as_many(&weight, level.span)?;
        (out, lse) = Value::merge([(&out, &lse), (&means, &weight)])?;
    }
    Ok(out)
}

/// Log-sum-exps of keys of which each stands for `count` equal ones.
fn as_many(lse: &Value, count: usize) -> Result<Value> {
    let sum: Tensor = (lse.tensor() + (count as f64).ln())?;
    let [sum] = Value::record(&[lse], [sum], |[upstream]| Ok(vec![upstream]));
    Ok(sum)
}
