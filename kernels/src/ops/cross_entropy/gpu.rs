//! The CUDA form: products by cuBLAS, one kernel for the rows of a chunk.

use super::{Gradients, Parts};
use crate::Result;
use candle_core::{DType, Tensor};

/// Rows whose logits exist at one time.
const CHUNK: usize = 8192;

pub(super) fn compute(
    h: &Tensor,
    table: &Tensor,
    bias: &Tensor,
    targets: &Tensor,
    weights: &Tensor,
    tracked: bool,
) -> Result<Parts> {
    let (rows, width) = h.dims2()?;
    let vocab = table.dim(0)?;
    let device = h.device();
    let cast = table.to_dtype(h.dtype())?;
    let mut all_nats = Vec::new();
    let mut dh = Vec::new();
    let mut dtable = Tensor::zeros((vocab, width), DType::F32, device)?;
    let mut dbias = Tensor::zeros(vocab, DType::F32, device)?;
    for start in (0..rows).step_by(CHUNK) {
        let count = CHUNK.min(rows - start);
        let h = h.narrow(0, start, count)?.contiguous()?;
        let logits = h.matmul(&cast.t()?)?;
        let targets = targets.narrow(0, start, count)?;
        let weights = weights.narrow(0, start, count)?;
        let (gradient, nats) = crate::cuda::cross_entropy::rows(logits, bias, &targets, &weights)?;
        all_nats.push(nats);
        if tracked {
            dh.push(gradient.matmul(&cast)?);
            dtable = (dtable + gradient.t()?.matmul(&h)?.to_dtype(DType::F32)?)?;
            dbias = (dbias + crate::cuda::reduce::column_sums(&gradient)?)?;
        }
    }
    let nats = match all_nats.len() {
        0 => Tensor::zeros(0, DType::F32, device)?,
        _ => Tensor::cat(&all_nats, 0)?,
    };
    let loss = (&nats * weights)?.sum_all()?;
    let gradients = if tracked && rows > 0 {
        Some(Gradients {
            h: Tensor::cat(&dh, 0)?,
            table: dtable,
            bias: dbias,
        })
    } else {
        None
    };
    Ok(Parts { loss, nats, gradients })
}
