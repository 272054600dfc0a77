//! Self-attention of fused queries, keys and values.

use super::Value;
use crate::ops::{Attended, Rotary};
use crate::{Result, TilePlan};
use candle_core::Tensor;
use std::sync::Arc;

/// What an attention layer brings to its fused `qkv`.
#[derive(Debug, Clone, Copy)]
pub struct SelfAttend<'a> {
    /// Gain of the queries' norm, `[D]` f32.
    pub q_gain: &'a Tensor,
    /// Gain of the keys' norm, `[D]` f32.
    pub k_gain: &'a Tensor,
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
        let inputs = [self, &Self::parameter(layer.q_gain), &Self::parameter(layer.k_gain)];
        let attended = Attended::new(&self.tensor, layer)?;
        let out = attended.out().clone();
        let [out] = Self::record(&inputs, [out], move |[upstream]| match upstream {
            Some(upstream) => attended.backward(&upstream),
            None => Ok(Vec::new()),
        });
        Ok(out)
    }
}
