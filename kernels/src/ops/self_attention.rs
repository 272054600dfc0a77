//! Normed, rotated self-attention of fused queries, keys and values, and its gradient.

use super::attention::AttentionPass;
use super::rope::{QkNormRope, qk_norm_rope};
use crate::tape::{HeadNorms, SelfAttend};
use crate::{Result, Rotary};
use candle_core::Tensor;

/// Fused queries, keys and values taken apart, kept for the backward pass.
pub(crate) struct Fused {
    qkv: Tensor,
    gains: [Tensor; 2],
    eps: Option<f32>,
    rotary: Rotary,
}

impl Fused {
    /// Queries and keys, each head vector normed and rotated, and values, out of `qkv: [B, T, H + 2 G, D]`.
    pub(crate) fn new(
        qkv: &Tensor,
        norms: HeadNorms<'_>,
        rotary: &Rotary,
        heads: usize,
    ) -> Result<(Self, [Tensor; 3])> {
        let (_, _, all, _) = qkv.dims4()?;
        let key_heads = (all - heads) / 2;
        let gains = norms.gains.map(Tensor::detach);
        let HeadNorms { eps, .. } = norms;
        let norms = HeadNorms {
            gains: gains.each_ref(),
            eps,
        };
        let (q, k) = queries_and_keys(qkv, norms, rotary, (heads, key_heads))?;
        let v = qkv.narrow(2, heads + key_heads, key_heads)?;
        let fused = Self {
            qkv: qkv.clone(),
            gains,
            eps,
            rotary: rotary.clone(),
        };
        Ok((fused, [q, k, v]))
    }

    /// Gradients of qkv and of both gains.
    pub(crate) fn backward(self, [dq, dk, dv]: [Tensor; 3]) -> Result<Vec<Option<Tensor>>> {
        #[cfg(feature = "cuda")]
        if dq.device().is_cuda() {
            let norms = HeadNorms {
                gains: self.gains.each_ref(),
                eps: self.eps,
            };
            let (dqkv, dq_gain, dk_gain) = super::rope::qkv_backward(&self.qkv, norms, &self.rotary, [&dq, &dk, &dv])?;
            return Ok(vec![Some(dqkv), Some(dq_gain), Some(dk_gain)]);
        }
        let [q_gain, k_gain] = &self.gains;
        let (heads, key_heads) = (dq.dim(2)?, dk.dim(2)?);
        let op = QkNormRope::new(&self.rotary, self.eps)?;
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
        let (fused, [q, k, v]) = Fused::new(qkv, layer.norms, layer.rotary, layer.heads)?;
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
    norms: HeadNorms<'_>,
    rotary: &Rotary,
    (heads, key_heads): (usize, usize),
) -> Result<(Tensor, Tensor)> {
    #[cfg(feature = "cuda")]
    if qkv.device().is_cuda() {
        return Ok(super::rope::qkv_forward(qkv, norms, rotary, (heads, key_heads))?);
    }
    let HeadNorms {
        gains: [q_gain, k_gain],
        eps,
    } = norms;
    let q = qk_norm_rope(&qkv.narrow(2, 0, heads)?, q_gain, eps, rotary)?;
    let k = qk_norm_rope(&qkv.narrow(2, heads, key_heads)?, k_gain, eps, rotary)?;
    Ok((q, k))
}
