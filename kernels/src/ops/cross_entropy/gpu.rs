//! The CUDA form: products by cuBLAS, one kernel for the rows of a chunk.

use super::{Gradients, Lesson, Parts};
use crate::Result;
use crate::cuda::cross_entropy::{rows, taught_rows};
use candle_core::{DType, Tensor};

/// Rows whose logits exist at one time.
const CHUNK: usize = 8192;

pub(super) fn compute([h, table, bias]: [&Tensor; 3], lesson: Lesson<'_>, tracked: bool) -> Result<Parts> {
    let (count, width) = h.dims2()?;
    let vocab = table.dim(0)?;
    let device = h.device();
    let cast = table.to_dtype(h.dtype())?;
    let teacher = match lesson.taught {
        Some(taught) => Some((taught, taught.table.to_dtype(h.dtype())?)),
        None => None,
    };
    let (mut all_nats, mut all_costs) = (Vec::new(), Vec::new());
    let mut dh = Vec::new();
    let mut dtable = Tensor::zeros((vocab, width), DType::F32, device)?;
    let mut dbias = Tensor::zeros(vocab, DType::F32, device)?;
    for start in (0..count).step_by(CHUNK) {
        let part = |x: &Tensor| x.narrow(0, start, CHUNK.min(count - start))?.contiguous();
        let h = part(h)?;
        let logits = h.matmul(&cast.t()?)?;
        let (targets, weights) = (part(lesson.targets)?, part(lesson.weights)?);
        let gradient = match &teacher {
            None => {
                let (gradient, nats) = rows(logits, bias, &targets, &weights)?;
                all_nats.push(nats);
                gradient
            }
            Some((taught, table)) => {
                let theirs = part(&taught.h)?.to_dtype(h.dtype())?.matmul(&table.t()?)?;
                let teacher = (&theirs, &taught.bias, &part(&taught.shares)?);
                let (gradient, nats, costs) = taught_rows((logits, bias), (&targets, &weights), teacher)?;
                all_nats.push(nats);
                all_costs.push(costs);
                gradient
            }
        };
        if tracked {
            dh.push(gradient.matmul(&cast)?);
            dtable = (dtable + gradient.t()?.matmul(&h)?.to_dtype(DType::F32)?)?;
            dbias = (dbias + crate::cuda::reduce::column_sums(&gradient)?)?;
        }
    }
    let join = |parts: &[Tensor]| match parts {
        [] => Tensor::zeros(0, DType::F32, device),
        parts => Tensor::cat(parts, 0),
    };
    let nats = join(&all_nats)?;
    let loss = match teacher {
        None => (&nats * lesson.weights)?,
        Some(_) => (join(&all_costs)? * lesson.weights)?,
    };
    let gradients = if tracked && count > 0 {
        Some(Gradients {
            h: Tensor::cat(&dh, 0)?,
            table: dtable,
            bias: dbias,
        })
    } else {
        None
    };
    Ok(Parts {
        loss: loss.sum_all()?,
        nats,
        gradients,
    })
}
