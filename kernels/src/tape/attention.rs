//! Attention, of fused or of separate queries, keys and values, and of disjoint parts of the keys.

use super::Value;
use crate::ops::{self, Attended, Attention, AttentionPass, Fused, Rotary};
use crate::{Result, TilePlan};
use candle_core::Tensor;
use std::sync::Arc;

/// How head vectors of queries and keys are normed before they are rotated.
#[derive(Debug, Clone, Copy)]
pub struct HeadNorms<'a> {
    /// Gains of queries and of keys, `[D]` f32 each.
    pub gains: [&'a Tensor; 2],
    /// Added to mean squares before the root; without it vectors are multiplied by the gains alone.
    pub eps: Option<f32>,
}

/// What an attention layer brings to its fused `qkv`.
#[derive(Debug, Clone, Copy)]
pub struct SelfAttend<'a> {
    /// Norms of queries and keys.
    pub norms: HeadNorms<'a>,
    /// Rotations of the positions.
    pub rotary: &'a Rotary,
    /// Who reads whom.
    pub plan: &'a Arc<TilePlan>,
    /// Number of query heads.
    pub heads: usize,
    /// Factor of the scores.
    pub scale: f64,
}

impl Value {
    /// Attention of queries, keys and values that lie side by side, `[B, T, H + 2 G, D]`, each head vector of queries
    /// and keys normed and rotated (see [`crate::qk_norm_rope`] and [`crate::tile_attention`]): `[B, T, H, D]`.
    ///
    /// # Errors
    /// If shapes do not fit each other or the plan.
    pub fn self_attention(&self, layer: &SelfAttend<'_>) -> Result<Self> {
        let [q_gain, k_gain] = layer.norms.gains.map(Self::parameter);
        let inputs = [self, &q_gain, &k_gain];
        let attended = Attended::new(&self.tensor, layer)?;
        let out = attended.out().clone();
        let [out] = Self::record(&inputs, [out], move |[upstream]| match upstream {
            Some(upstream) => attended.backward(&upstream),
            None => Ok(Vec::new()),
        });
        Ok(out)
    }

    /// Queries `[B, T, H, D]`, keys and values `[B, T, G, D]` that lie side by side, `[B, T, H + 2 G, D]`, each head
    /// vector of queries and keys normed and rotated: what [`Value::self_attention`]
    /// does first.
    ///
    /// # Errors
    /// If shapes do not fit each other.
    pub fn queries_keys_values(&self, norms: HeadNorms<'_>, rotary: &Rotary, heads: usize) -> Result<[Self; 3]> {
        let parameters = norms.gains.map(Self::parameter);
        let (fused, parts) = Fused::new(&self.tensor, norms, rotary, heads)?;
        let [q, k, v] = parts.clone();
        let inputs = [self, &parameters[0], &parameters[1]];
        Ok(Self::record(&inputs, parts, move |[dq, dk, dv]| {
            let or_zeros = |gradient: Option<Tensor>, of: Tensor| gradient.map_or_else(|| of.zeros_like(), Ok);
            fused.backward([or_zeros(dq, q)?, or_zeros(dk, k)?, or_zeros(dv, v)?])
        }))
    }

    /// Attention of these queries, `[B, T, H, D]`, over `k` and `v`, `[B, S, G, D]`: the output and the log-sum-exps,
    /// both with gradients. See [`crate::tile_attention`].
    ///
    /// # Errors
    /// If shapes do not fit each other or the plan.
    pub fn tile_attention(&self, k: &Self, v: &Self, plan: &Arc<TilePlan>, scale: f64) -> Result<(Self, Self)> {
        let pass = AttentionPass::new(&self.tensor, &k.tensor, &v.tensor, plan, scale)?;
        let Attention { out, lse } = pass.attention().clone();
        let shape = out.clone();
        let [out, lse] = Self::record(&[self, k, v], [out, lse], move |[dout, dlse]| {
            let dout = dout.map_or_else(|| shape.zeros_like(), Ok)?;
            let (dq, dk, dv) = pass.backward(&dout, dlse.as_ref())?;
            Ok(vec![Some(dq), Some(dk), Some(dv)])
        });
        Ok((out, lse))
    }

    /// Output and log-sum-exp over the keys of two disjoint parts, each an output and its log-sum-exp. See
    /// [`crate::merge`].
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn merge(parts: [(&Self, &Self); 2]) -> Result<(Self, Self)> {
        let kept = parts.map(|(out, lse)| Attention {
            out: out.tensor.clone(),
            lse: lse.tensor.clone(),
        });
        let Attention { out, lse } = ops::merge(kept.each_ref())?;
        let [(out_a, lse_a), (out_b, lse_b)] = parts;
        let shape = out.clone();
        let [out, lse] = Self::record(&[out_a, lse_a, out_b, lse_b], [out, lse], move |[dout, dlse]| {
            let dout = dout.map_or_else(|| shape.zeros_like(), Ok)?;
            let [a, b] = ops::merge_backward(kept.each_ref(), &dout, dlse.as_ref())?;
            Ok(vec![Some(a.out), Some(a.lse), Some(b.out), Some(b.lse)])
        });
        Ok((out, lse))
    }
}
