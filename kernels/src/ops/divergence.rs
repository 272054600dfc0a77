//! Learning from a distribution instead of a token: the vocabulary head and its Kullback-Leibler divergence in one op.
//!
//! Both sides are made from hidden rows chunk by chunk, so neither distribution is ever kept: the target of a row is
//! remembered as the few hundred numbers that it was computed from. As in the fused cross-entropy, gradients are made with the loss.

use super::cross_entropy::{Gradients, Parts};
use super::mixture::{join, probabilities};
use crate::{Error, Result};
use candle_core::{D, DType, Tensor};

const NAME: &str = "linear_divergence";
/// Rows whose distributions exist at one time.
const CHUNK: usize = 2048;

/// A mixture of softmaxes for each of N rows, `sum_j share_j softmax(h_j table^T + bias)`, without a gradient.
#[derive(Debug, Clone)]
pub struct SoftTarget {
    /// Hidden rows `[N, d]` and their shares `[N]` f32, which sum to one over the parts.
    pub parts: Vec<(Tensor, Tensor)>,
    /// `[V, d]`, cast to the dtype of the hidden rows.
    pub table: Tensor,
    /// `[V]` f32.
    pub bias: Tensor,
}

impl SoftTarget {
    /// Probabilities of `count` rows from `start`, `[count, V]` f32.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn probabilities(&self, start: usize, count: usize) -> Result<Tensor> {
        let mut sum: Option<Tensor> = None;
        for (h, share) in &self.parts {
            let h = h.narrow(0, start, count)?.contiguous()?;
            let logits = h.matmul(&self.table.to_dtype(h.dtype())?.t()?)?.to_dtype(DType::F32)?;
            let p = probabilities(logits, &self.bias)?.broadcast_mul(&share.narrow(0, start, count)?.unsqueeze(1)?)?;
            sum = Some(match sum {
                Some(sum) => (sum + p)?,
                None => p,
            });
        }
        sum.ok_or_else(|| Error::shape(NAME, "a target without parts".to_owned()))
    }
}

/// `sum_i weights_i KL(target_i || softmax(h table^T + bias)_i)`, the divergence of each row in nats and, if `learned`, the
/// gradients. Shapes as in [`super::linear_cross_entropy`].
pub(crate) fn divergence_parts(
    [h, table, bias]: [&Tensor; 3],
    target: &SoftTarget,
    weights: &Tensor,
    learned: bool,
) -> Result<Parts> {
    let ((rows, width), (vocab, table_width)) = (h.dims2()?, table.dims2()?);
    let fits = width == table_width && bias.dims() == [vocab] && weights.dims() == [rows];
    let alike = target.table.dim(0)? == vocab
        && target
            .parts
            .iter()
            .all(|(h, share)| h.dim(0).ok() == Some(rows) && share.dims() == [rows]);
    if !fits || !alike {
        let problem = format!(
            "h {:?}, table {:?}, bias {:?}, weights {:?}, target table {:?} with {} parts",
            h.dims(),
            table.dims(),
            bias.dims(),
            weights.dims(),
            target.table.dims(),
            target.parts.len()
        );
        return Err(Error::shape(NAME, problem));
    }
    let device = h.device();
    let cast = table.to_dtype(h.dtype())?;
    let (mut all_nats, mut dh) = (Vec::new(), Vec::new());
    let mut dtable = Tensor::zeros((vocab, width), DType::F32, device)?;
    let mut dbias = Tensor::zeros(vocab, DType::F32, device)?;
    for start in (0..rows).step_by(CHUNK) {
        let count = CHUNK.min(rows - start);
        let h = h.narrow(0, start, count)?.contiguous()?;
        let weights = weights.narrow(0, start, count)?.unsqueeze(1)?;
        let p = target.probabilities(start, count)?;
        let log_q = log_softmax(&h.matmul(&cast.t()?)?.to_dtype(DType::F32)?.broadcast_add(bias)?)?;
        // A probability of zero has no say: its logarithm is kept finite.
        let log_p = p.maximum(f64::from(f32::MIN_POSITIVE))?.log()?;
        all_nats.push((&p * (log_p - &log_q)?)?.sum(1)?);
        if learned {
            let gradient = (log_q.exp()? - &p)?.broadcast_mul(&weights)?;
            dbias = (dbias + gradient.sum(0)?)?;
            let gradient = gradient.to_dtype(h.dtype())?;
            dh.push(gradient.matmul(&cast)?);
            dtable = (dtable + gradient.t()?.matmul(&h)?.to_dtype(DType::F32)?)?;
        }
    }
    let nats = join(&all_nats, 0, DType::F32, device)?;
    let loss = (&nats * weights)?.sum_all()?;
    let gradients = if learned && rows > 0 {
        Some(Gradients {
            h: join(&dh, (0, width), h.dtype(), device)?,
            table: dtable,
            bias: dbias,
        })
    } else {
        None
    };
    Ok(Parts { loss, nats, gradients })
}

/// Logarithm of the softmax over the last dimension.
pub(super) fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?)?;
    Ok(shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)?)
}
