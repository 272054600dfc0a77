//! Attentions over disjoint sets of keys made one by their log-sum-exps (Dao, "FlashAttention-2", 2023, section 3.1, between
//! tiles; the same rule between whole calls).

use super::attention::Attention;
use super::cpu::Operand;
use crate::{Error, Result};
use candle_core::Tensor;
use rayon::prelude::*;

const NAME: &str = "merge";

/// What attention over the keys of both parts would have given; the parts' plans must allow no pair twice.
///
/// A part in which a query sees no key takes no share of it; without keys in both the query has zeros and negative
/// infinity, as in [`super::tile_attention`].
///
/// # Errors
/// If the parts' shapes or dtypes differ.
pub fn merge(parts: [&Attention; 2]) -> Result<Attention> {
    check(parts)?;
    #[cfg(feature = "cuda")]
    if parts[0].out.device().is_cuda() {
        return Ok(crate::cuda::merge::forward(parts)?);
    }
    let [a, b] = parts;
    let (shares, lse) = shares(parts)?;
    let (out_a, out_b) = (Operand::new(NAME, &a.out), Operand::new(NAME, &b.out));
    let (out_a, out_b) = (out_a.rows()?, out_b.rows()?);
    let width = out_a.width();
    let mut out = vec![0.0; out_a.count() * width];
    out.par_chunks_mut(width.max(1)).enumerate().for_each(|(row, out)| {
        let (share_a, share_b) = shares.of_row(row);
        for (out, (a, b)) in out.iter_mut().zip(out_a.row(row).iter().zip(out_b.row(row))) {
            *out = share_a * a + share_b * b;
        }
    });
    Ok(Attention {
        out: Tensor::from_vec(out, a.out.shape(), a.out.device())?,
        lse: Tensor::from_vec(lse, a.lse.shape(), a.lse.device())?,
    })
}

/// The gradients of both parts' outputs and log-sum-exps, from those of the merged output and, if there is one, of the
/// merged log-sum-exp.
///
/// With shares `w = exp(lse_part - lse)`: `dout_part = w dout`, and
/// `dlse_a = w_a (w_b <dout, a - b> + dlse)`, likewise for b.
pub(crate) fn merge_backward(parts: [&Attention; 2], dout: &Tensor, dlse: Option<&Tensor>) -> Result<[Attention; 2]> {
    #[cfg(feature = "cuda")]
    if dout.device().is_cuda() {
        return Ok(crate::cuda::merge::backward(parts, dout, dlse)?);
    }
    let [a, b] = parts;
    let (shares, _) = shares(parts)?;
    let operands = [&a.out, &b.out, dout].map(|tensor| Operand::new(NAME, tensor));
    let [out_a, out_b, dout] = &operands;
    let (out_a, out_b, dout) = (out_a.rows()?, out_b.rows()?, dout.rows()?);
    let dlse = dlse.map(Tensor::contiguous).transpose()?;
    let dlse = dlse.as_ref().map(|dlse| Operand::new(NAME, dlse));
    let dlse = dlse.as_ref().map(Operand::slice).transpose()?;
    let width = out_a.width();
    let mut gradient_a = vec![0.0; out_a.count() * width];
    let mut gradient_b = gradient_a.clone();
    let mut lse_a = vec![0.0; shares.weights.len()];
    let mut lse_b = lse_a.clone();
    let rows = gradient_a
        .chunks_mut(width.max(1))
        .zip(gradient_b.chunks_mut(width.max(1)));
    for (row, (da, db)) in rows.enumerate() {
        let ((share_a, share_b), at) = (shares.of_row(row), shares.place(row));
        let mut dot = 0.0;
        let numbers = out_a.row(row).iter().zip(out_b.row(row)).zip(dout.row(row));
        for ((da, db), ((a, b), dout)) in da.iter_mut().zip(db).zip(numbers) {
            dot += dout * (a - b);
            (*da, *db) = (share_a * dout, share_b * dout);
        }
        let past = dlse.map_or(0.0, |dlse| dlse[at]);
        lse_a[at] = share_a * (share_b * dot + past);
        lse_b[at] = share_b * (past - share_a * dot);
    }
    let part = |out, lse| -> Result<Attention> {
        Ok(Attention {
            out: Tensor::from_vec(out, a.out.shape(), a.out.device())?,
            lse: Tensor::from_vec(lse, a.lse.shape(), a.lse.device())?,
        })
    };
    Ok([part(gradient_a, lse_a)?, part(gradient_b, lse_b)?])
}

fn check([a, b]: [&Attention; 2]) -> Result<()> {
    let (batch, queries, heads, _) = a.out.dims4()?;
    let fits = a.out.shape() == b.out.shape()
        && a.out.dtype() == b.out.dtype()
        && [a, b].iter().all(|part| part.lse.dims() == [batch, heads, queries]);
    if fits {
        return Ok(());
    }
    let shapes = [a, b].map(|part| format!("{:?} {:?} and {:?}", part.out.dtype(), part.out.dims(), part.lse.dims()));
    Err(Error::shape(NAME, shapes.join(" beside ")))
}

/// The share of each part in every query of every head.
struct Shares {
    /// `[B, H, T]`.
    weights: Vec<(f32, f32)>,
    queries: usize,
    heads: usize,
}

impl Shares {
    /// Where the numbers of row `row` of `[B, T, H, D]` lie in `[B, H, T]`.
    fn place(&self, row: usize) -> usize {
        let (time, head) = (row / self.heads, row % self.heads);
        (time / self.queries * self.heads + head) * self.queries + time % self.queries
    }

    fn of_row(&self, row: usize) -> (f32, f32) {
        self.weights[self.place(row)]
    }
}

/// The shares, and the log-sum-exp of both parts together.
fn shares([a, b]: [&Attention; 2]) -> Result<(Shares, Vec<f32>)> {
    let (_, queries, heads, _) = a.out.dims4()?;
    let (lse_a, lse_b) = (a.lse.contiguous()?, b.lse.contiguous()?);
    let (lse_a, lse_b) = (Operand::new(NAME, &lse_a), Operand::new(NAME, &lse_b));
    let (weights, lse) = lse_a
        .slice()?
        .iter()
        .zip(lse_b.slice()?)
        .map(|(&a, &b)| {
            let peak = a.max(b);
            if peak == f32::NEG_INFINITY {
                return ((0.0, 0.0), peak);
            }
            let (a, b) = ((a - peak).exp(), (b - peak).exp());
            ((a / (a + b), b / (a + b)), peak + (a + b).ln())
        })
        .unzip();
    let shares = Shares {
        weights,
        queries,
        heads,
    };
    Ok((shares, lse))
}
