//! Products of rows with the matrix of their expert, and the weighted rows that come of it.

use candle_core::Tensor;
use drdiff_kernels::{Linear, Value};

use crate::{Error, Result};

/// `x: [n, in]`, rows sorted by expert, `counts[e]` of them for expert `e`; `stack`: the experts' maps one under the
/// other, `[experts * out, in]`. Returns `[n, out]`, row by row `weight[e] x`. Nothing is padded: on CUDA equal counts of
/// the first experts, and none of the others, are one batched product; otherwise there is one for each expert that has rows.
///
/// # Errors
/// [`Error::Counts`] if the counts do not add up to `n` or do not divide the stack; a quantised stack stands on a tape or
/// cannot be divided; or a product fails.
pub fn grouped_linear(x: &Value, stack: &Linear, counts: &[usize]) -> Result<Value> {
    let (height, inputs) = match stack {
        Linear::Dense(weight) => weight.dims2()?,
        Linear::Quantized(matrix) => matrix.dims(),
    };
    let (experts, rows) = (counts.len(), x.tensor().dim(0)?);
    let sum = counts.iter().sum::<usize>();
    if experts == 0 || !height.is_multiple_of(experts) || sum != rows {
        return Err(Error::Counts {
            sum,
            rows,
            experts,
            height,
        });
    }
    let outputs = height / experts;
    let input = x.tensor().contiguous()?;
    let weight = match stack {
        Linear::Dense(weight) => weight,
        Linear::Quantized(_) if x.is_recorded() => return Err(Error::Quantized),
        Linear::Quantized(matrix) => {
            let y = each(&input, outputs, counts, |expert, x| {
                matrix.forward_part(x, expert * outputs..(expert + 1) * outputs)
            })?;
            return Ok(Value::constant(&y));
        }
    };
    let cast = weight.detach().to_dtype(input.dtype())?;
    let maps = cast.reshape((experts, outputs, inputs))?;
    let y = match even(&input, counts) {
        Some((busy, count)) => input
            .reshape((busy, count, inputs))?
            .matmul(&maps.narrow(0, 0, busy)?.transpose(1, 2)?)?
            .reshape((rows, outputs))?,
        None => each(&input, outputs, counts, |expert, x| {
            Linear::Dense(maps.get(expert)?).forward(x)
        })?,
    };
    let counts = counts.to_vec();
    let [y] = Value::record(&[x, &Value::parameter(weight)], [y], move |[upstream]| {
        let Some(dy) = upstream else { return Ok(Vec::new()) };
        let dy = dy.contiguous()?;
        let dx = match even(&dy, &counts) {
            Some((busy, count)) => dy
                .reshape((busy, count, outputs))?
                .matmul(&maps.narrow(0, 0, busy)?)?
                .reshape((rows, inputs))?,
            None => each(&dy, inputs, &counts, |expert, dy| Ok(dy.matmul(&maps.get(expert)?)?))?,
        };
        Ok(vec![Some(dx), Some(outer(&dy, &input, &counts)?)])
    });
    Ok(y)
}

/// How many experts, the first ones, have rows, and how many each, if a batched product does.
fn even(x: &Tensor, counts: &[usize]) -> Option<(usize, usize)> {
    let first = *counts.first()?;
    let busy = counts.iter().take_while(|count| **count == first).count();
    let idle = counts[busy..].iter().all(|count| *count == 0);
    (x.device().is_cuda() && first > 0 && idle).then_some((busy, first))
}

/// `product(e, x[rows of e])`, each `outputs` wide, one after another.
fn each(
    x: &Tensor,
    outputs: usize,
    counts: &[usize],
    product: impl Fn(usize, &Tensor) -> drdiff_kernels::Result<Tensor>,
) -> drdiff_kernels::Result<Tensor> {
    let mut parts = Vec::with_capacity(counts.len());
    let mut first = 0;
    for (expert, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        parts.push(product(expert, &x.narrow(0, first, *count)?)?);
        first += count;
    }
    Ok(match parts.is_empty() {
        true => Tensor::zeros((0, outputs), x.dtype(), x.device())?,
        false => Tensor::cat(&parts, 0)?,
    })
}

/// `dy[rows of e]^T x[rows of e]`, one under the other, `[experts * out, in]`.
fn outer(dy: &Tensor, x: &Tensor, counts: &[usize]) -> candle_core::Result<Tensor> {
    let (outputs, inputs) = (dy.dim(1)?, x.dim(1)?);
    if let Some((busy, count)) = even(x, counts) {
        let dy = dy.reshape((busy, count, outputs))?;
        let product = dy.transpose(1, 2)?.matmul(&x.reshape((busy, count, inputs))?)?;
        let product = product.reshape((busy * outputs, inputs))?;
        return match counts.len() - busy {
            0 => Ok(product),
            idle => product.pad_with_zeros(0, 0, idle * outputs),
        };
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
    Tensor::cat(&parts, 0)
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
