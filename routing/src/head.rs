//! The scores of a router and the losses that keep them in order.

use candle_core::{D, DType, Device, Tensor};
use drdiff_kernels::{Builder, Init, Value};

use crate::{Placed, Result, RoutingConfig};

/// A linear map from a detached hidden state, the noise level and, if the configuration says so, the entropy of the last
/// prediction to one score for each expert, in f32.
#[derive(Debug)]
pub(crate) struct Head {
    weight: Tensor,
    signal: Tensor,
    /// `[2, experts]`: for the entropy, and for rows that have none.
    entropy: Option<Tensor>,
    bias: Tensor,
}

impl Head {
    pub(crate) fn new(builder: &Builder, config: &RoutingConfig, width: usize) -> Result<Self> {
        let experts = config.experts;
        let entropy = || builder.tensor("entropy", (2, experts), Init::Const(0.0));
        Ok(Self {
            weight: builder.tensor("weight", (experts, width), Init::Normal(0.02))?,
            signal: builder.tensor("signal", (1, experts), Init::Const(0.0))?,
            entropy: config.entropy.then(entropy).transpose()?,
            bias: builder.tensor("bias", experts, Init::Const(0.0))?,
        })
    }

    /// Floating-point operations of one row.
    pub(crate) fn flops_per_row(&self) -> u64 {
        2 * self.weight.elem_count() as u64
    }

    /// Scores of the members of groups, `[members, experts]` f32; `hidden` holds all rows. No gradient flows to `hidden`,
    /// so that routing cannot bend the trunk (DrDiff, arXiv 2509.02785: the gate reads a stop-gradient of the state).
    pub(crate) fn scores(&self, hidden: &Value, placed: &Placed) -> Result<Value> {
        let members = match placed.groups.members() == placed.groups.rows() {
            true => hidden.clone(),
            false => hidden.rows(&placed.rows)?,
        };
        Ok(members.through(|hidden| {
            let x = hidden.detach().to_dtype(DType::F32)?;
            let scores = x.matmul(&self.weight.to_dtype(DType::F32)?.t()?)?;
            let level = placed.signal.matmul(&self.signal.to_dtype(DType::F32)?)?;
            let mut scores = (scores + level)?;
            if let (Some(weight), Some(last)) = (&self.entropy, &placed.last) {
                scores = (scores + last.matmul(&weight.to_dtype(DType::F32)?)?)?;
            }
            Ok(scores.broadcast_add(&self.bias.to_dtype(DType::F32)?)?)
        })?)
    }
}

/// Softmax over the last dimension in candle's own operations, with a gradient.
pub(crate) fn softmax(scores: &Tensor) -> candle_core::Result<Tensor> {
    let e = scores.broadcast_sub(&scores.detach().max_keepdim(D::Minus1)?)?.exp()?;
    e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
}

/// The share of all choices that each expert got, `[experts]` f32.
pub(crate) fn load(counts: &[usize], device: &Device) -> Result<Tensor> {
    let total = counts.iter().sum::<usize>().max(1) as f32;
    let shares = counts.iter().map(|count| *count as f32 / total).collect::<Vec<f32>>();
    Ok(Tensor::from_vec(shares, counts.len(), device)?)
}

/// The auxiliary loss of one layer, a scalar: `z` times the mean square of the log-sum-exp (Zoph et al., arXiv
/// 2202.08906, equation 5) and, with `load` (`[experts]`, the share of choices that each expert got), `balance` times
/// `experts sum(load * mean softmax)` (Fedus et al., arXiv 2101.03961, equation 4). Means are over the open rows.
pub(crate) fn aux_loss(
    scores: &Value,
    placed: &Placed,
    config: &RoutingConfig,
    load: Option<&Tensor>,
) -> Result<Value> {
    let rows = &placed.share;
    Ok(scores.through(|scores| {
        let most = scores.detach().max_keepdim(1)?;
        let sum = scores.broadcast_sub(&most)?.exp()?.sum_keepdim(1)?;
        let z = (sum.log()? + most)?
            .sqr()?
            .mul(rows)?
            .sum_all()?
            .affine(config.z, 0.0)?;
        let Some(load) = load else { return Ok(z) };
        let mean = softmax(scores)?.broadcast_mul(rows)?.sum(0)?;
        let balance = mean.mul(load)?.sum_all()?;
        Ok((z + balance.affine(config.balance * config.experts as f64, 0.0)?)?)
    })?)
}

/// Mean entropy of the softmax over experts, open rows only, divided by its largest value; a scalar.
pub(crate) fn entropy(scores: &Tensor, placed: &Placed) -> Result<Tensor> {
    let p = softmax(scores)?;
    let nats = (&p * (&p + 1e-9)?.log()?)?.broadcast_mul(&placed.share)?.sum_all()?;
    let most = (scores.dim(1)? as f64).ln().max(f64::MIN_POSITIVE);
    Ok(nats.affine(-most.recip(), 0.0)?)
}
