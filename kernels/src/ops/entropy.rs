//! How undecided a prediction is: the entropy of a softmax as a share of the largest possible, from 0 (certain) to 1 (even).

use super::cpu::Operand;
use super::mixture::{probabilities, softmax};
use crate::{Result, simd};
use candle_core::{D, DType, Tensor};
use rayon::prelude::*;

const NAME: &str = "entropy";

/// The share of each row of `vocab` logits.
#[must_use]
pub fn entropy_shares(logits: &[f32], vocab: usize) -> Vec<f32> {
    let of = |row: &[f32]| {
        let most = simd::max(row);
        let sum = simd::sum_exp_shifted(row, most);
        (sum.ln() - simd::sum_weighted_exp_shifted(row, most) / sum).max(0.0) / largest(vocab) as f32
    };
    logits.par_chunks(vocab.max(1)).map(of).collect()
}

/// Nats of an even choice among `vocab`; above 0 for a single one, whose entropy is 0.
fn largest(vocab: usize) -> f64 {
    (vocab.max(2) as f64).ln()
}

/// The softmax of `logits + bias`, `[C, V]` in the dtype of the logits, which nobody else holds, and the shares of its rows,
/// `[C]` f32.
pub(super) fn probabilities_with_entropy(logits: Tensor, bias: &Tensor) -> Result<(Tensor, Tensor)> {
    let (rows, vocab) = logits.dims2()?;
    if logits.device().is_cpu() {
        let logits = logits.broadcast_add(bias)?;
        let shares = entropy_shares(Operand::new(NAME, &logits).slice()?, vocab);
        return Ok((softmax(&logits)?, Tensor::from_vec(shares, rows, logits.device())?));
    }
    let p = probabilities(logits, bias)?;
    let exact = p.to_dtype(DType::F32)?;
    let nats = (&exact * exact.maximum(f64::from(f32::MIN_POSITIVE))?.log()?)?.sum(D::Minus1)?;
    Ok((p, nats.affine(-largest(vocab).recip(), 0.0)?))
}
