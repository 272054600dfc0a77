//! Products of rows with the matrix of their expert, and the weighted rows that come of it.

use candle_core::Tensor;
use drdiff_kernels::Value;

use crate::{Error, Result};

/// `x: [n, in]`, rows sorted by expert, `counts[e]` of them for expert `e`; `weight: [experts, out, in]`. Returns
/// `[n, out]`, row by row `weight[e] x`. Equal counts are one batched product, others one product for each expert that has
/// rows; nothing is padded.
///
/// # Errors
/// [`Error::Counts`] if the counts do not add up to `n` or are not one for each expert; or a product fails.
pub fn grouped_linear(x: &Value, weight: &Tensor, counts: &[usize]) -> Result<Value> {
    let (experts, rows) = (weight.dim(0)?, x.tensor().dim(0)?);
    let sum = counts.iter().sum::<usize>();
    if counts.len() != experts || sum != rows {
        return Err(Error::Counts {
            sum,
            rows,
            lists: counts.len(),
            experts,
        });
    }
    let input = x.tensor().contiguous()?;
    let cast = weight.detach().to_dtype(input.dtype())?;
    let y = each(&input, &cast.transpose(1, 2)?, counts)?;
    let counts = counts.to_vec();
    let parameter = Value::parameter(weight);
    let [y] = Value::record(&[x, &parameter], [y], move |[upstream]| {
        let Some(dy) = upstream else { return Ok(Vec::new()) };
        let dy = dy.contiguous()?;
        let dx = each(&dy, &cast, &counts)?;
        Ok(vec![Some(dx), Some(outer(&dy, &input, &counts)?)])
    });
    Ok(y)
}

/// Rows that every expert has, if all have as many and some.
fn even(counts: &[usize]) -> Option<usize> {
    let first = *counts.first()?;
    (first > 0 && counts.iter().all(|count| *count == first)).then_some(first)
}

/// `x[rows of e] maps[e]` for `maps: [experts, in, out]`.
fn each(x: &Tensor, maps: &Tensor, counts: &[usize]) -> candle_core::Result<Tensor> {
    let (experts, inputs, outputs) = maps.dims3()?;
    if let Some(rows) = even(counts) {
        return x
            .reshape((experts, rows, inputs))?
            .matmul(maps)?
            .reshape((experts * rows, outputs));
    }
    let mut parts = Vec::with_capacity(experts);
    let mut first = 0;
    for (expert, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        parts.push(x.narrow(0, first, *count)?.matmul(&maps.get(expert)?)?);
        first += count;
    }
    match parts.is_empty() {
        true => Tensor::zeros((0, outputs), x.dtype(), x.device()),
        false => Tensor::cat(&parts, 0),
    }
}

/// `dy[rows of e]^T x[rows of e]`, `[experts, out, in]`.
fn outer(dy: &Tensor, x: &Tensor, counts: &[usize]) -> candle_core::Result<Tensor> {
    let (outputs, inputs) = (dy.dim(1)?, x.dim(1)?);
    if let Some(rows) = even(counts) {
        let dy = dy.reshape((counts.len(), rows, outputs))?;
        return dy.transpose(1, 2)?.matmul(&x.reshape((counts.len(), rows, inputs))?);
    }
    let mut parts = Vec::with_capacity(counts.len());
    let mut first = 0;
    for count in counts {
        parts.push(match count {
            0 => Tensor::zeros((outputs, inputs), x.dtype(), x.device())?,
            _ => dy.narrow(0, first, *count)?.t()?.matmul(&x.narrow(0, first, *count)?)?,
        });
        first += count;
    }
    Tensor::stack(&parts, 0)
}

/// Each row of `x: [n, width]` times its gate, `[n, 1]` f32.
///
/// # Errors
/// If the shapes do not fit.
pub fn weighted(x: &Value, gates: &Value) -> Result<Value> {
    let rows = x.tensor().clone();
    let factor = gates.tensor().to_dtype(rows.dtype())?;
    let product = rows.broadcast_mul(&factor)?;
    let dtype = gates.tensor().dtype();
    let [product] = Value::record(&[x, gates], [product], move |[upstream]| {
        let Some(dy) = upstream else { return Ok(Vec::new()) };
        let dgate = (&dy * &rows)?.to_dtype(dtype)?.sum_keepdim(1)?;
        Ok(vec![Some(dy.broadcast_mul(&factor)?), Some(dgate)])
    });
    Ok(product)
}
