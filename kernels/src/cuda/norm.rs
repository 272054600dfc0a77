//! The squared norm of all gradients together.

use super::launch::{blocks, launch, shape};
use super::operand::{Output, contiguous, device};
use super::reduce::REDUCE;
use candle_core::{DType, Result, Tensor, bail};

const BLOCK: usize = 256;
/// Partial sums of one gradient, at most.
const PARTS: usize = 512;

/// The sum of the squares of all elements of f32 gradients, an f32 scalar; the order of the sum is fixed.
pub(crate) fn sum_squares(grads: &[Tensor]) -> Result<Tensor> {
    let Some(first) = grads.first() else {
        bail!("the norm of no gradients")
    };
    let device = device(first)?;
    let parts: Vec<usize> = grads
        .iter()
        .map(|grad| blocks(grad.elem_count(), 4 * BLOCK).min(PARTS))
        .collect();
    let partial = Output::new(device, parts.iter().sum::<usize>(), DType::F32)?;
    let mut to = partial.address;
    for (grad, &parts) in grads.iter().zip(&parts) {
        let grad = grad.detach().contiguous()?;
        let from = contiguous(&grad, DType::F32)?;
        launch!(
            REDUCE,
            device,
            "squares",
            shape((parts, 1, 1), (BLOCK, 1), 0),
            from,
            to,
            grad.elem_count() as i64
        );
        to += (parts * size_of::<f32>()) as u64;
    }
    let out = Output::new(device, (), DType::F32)?;
    let count = parts.iter().sum::<usize>() as i32;
    launch!(
        REDUCE,
        device,
        "total",
        shape((1, 1, 1), (BLOCK, 1), 0),
        partial.address,
        out.address,
        count
    );
    Ok(out.into_tensor())
}
