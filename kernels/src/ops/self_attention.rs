//! Normed, rotated self-attention of fused queries, keys and values, and its gradient.

use super::attention::AttentionPass;
use super::rope::{QkNormRope, qk_norm_rope};
use crate::tape::SelfAttend;
use crate::{Result, Rotary};
use candle_core::Tensor;

/// Fused queries, keys and values taken apart, kept for the backward pass.
pub(crate) struct Fused {
    qkv: Tensor,
    gains: [Tensor; 2],
    rotary: Rotary,
}

impl Fused {
    /// Queries and keys, each head vector normed and rotated, and values, out of `qkv: [B, T, H + 2 G, D]`.
    pub(crate) fn new(qkv: &Tensor, gains: [&Tensor; 2], rotary: &Rotary, heads: usize) -> Result<(Self, [Tensor; 3])> {
        let (_, _, all, _) = qkv.dims4()?;
        let key_heads = (all - heads) / 2;
        let gains = gains.map(Tensor::detach);
        let (q, k) = queries_and_keys(qkv, gains.each_ref(), rotary, (heads, key_heads))?;
        let v = qkv.narrow(2, heads + key_heads, key_heads)?;
        let fused = Self {
            qkv: qkv.clone(),
            gains,
            rotary: rotary.clone(),
        };
        Ok((fused, [q, k, v]))
    }

    /// Gradients of qkv and of both gains.
    pub(crate) fn backward(self, [dq, dk, dv]: [Tensor; 3]) -> Result<Vec<Option<Tensor>>> {
        let [q_gain, k_gain] = &self.gains;
        #[cfg(feature = "cuda")]
        if dq.device().is_cuda() {
            let (dqkv, dq_gain, dk_gain) =
                super::rope::qkv_backward(&self.qkv, [q_gain, k_gain], &self.rotary, [&dq, &dk, &dv])?;
            return Ok(vec![Some(dqkv), Some(dq_gain), Some(dk_gain)]);
        }
        let (heads, key_heads) = (dq.dim(2)?, dk.dim(2)?);
        let op = QkNormRope::new(&self.rotary)?;
        let (dq, dq_gain) = op.backward(&self.qkv.narrow(2, 0, heads)?, q_gain, &dq)?;
        let (dk, dk_gain) = op.backward(&self.qkv.narrow(2, heads, key_heads)?, k_gain, &dk)?;
        let dqkv = Tensor::cat(&[dq, dk, dv], 2)?;
        Ok(vec![Some(dqkv), Some(dq_gain), Some(dk_gain)])
    }
}

/// What the backward pass needs of the forward pass.
pub(crate) struct Attended {
    fused: Fused,
    pass: AttentionPass,
}

impl Attended {
    pub(crate) fn new(qkv: &Tensor, layer: &SelfAttend<'_>) -> Result<Self> {
        let gains = [layer.q_gain, layer.k_gain];
        let (fused, [q, k, v]) = Fused::new(qkv, gains, layer.rotary, layer.heads)?;
        let pass = AttentionPass::new(&q, &k, &v, layer.plan, layer.scale)?;
        Ok(Self { fused, pass })
    }

    /// `[B, T, H, D]`.
    pub(crate) fn out(&self) -> &Tensor {
        &self.pass.attention().out
    }

    /// Gradients of qkv and of both gains.
    pub(crate) fn backward(self, dout: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (dq, dk, dv) = self.pass.backward(dout, None)?;
        self.fused.backward([dq, dk, dv])
    }
}

fn queries_and_keys(
    qkv: &Tensor,
    [q_gain, k_gain]: [&Tensor; 2],
    rotary: &Rotary,
    (heads, key_heads): (usize, usize),
) -> Result<(Tensor, Tensor)> {
    #[cfg(feature = "cuda")]
    if qkv.device().is_cuda() {
        return Ok(super::rope::qkv_forward(
            qkv,
            [q_gain, k_gain],
            rotary,
            (heads, key_heads),
        )?);
    }
    let q = qk_norm_rope(&qkv.narrow(2, 0, heads)?, q_gain, rotary)?;
    let k = qk_norm_rope(&qkv.narrow(2, heads, key_heads)?, k_gain, rotary)?;
    Ok((q, k))
}
