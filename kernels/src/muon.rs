//! Muon's arithmetic: momentum that is made orthogonal before it moves a matrix (Jordan et al., "Muon: an optimizer for
//! hidden layers in neural networks", 2024).
//!
//! Matrices of one shape are stacked, so that a step is a few large products, whatever the depth of the network.

use crate::{Error, Result};
use candle_core::{DType, Tensor, Var};

/// Coefficients of the quintic `a s + b s^3 + c s^5` that drives singular values towards 1 (Jordan et al., 2024): the
/// steepest at 0 that stays near 1, so that five rounds suffice; the values end between about 0.7 and 1.2.
const QUINTIC: [f64; 3] = [3.4445, -4.7750, 2.0315];
const ROUNDS: usize = 5;
/// Root mean square of an update that AdamW makes; with it Muon takes AdamW's learning rates and decay (Moonlight,
/// arXiv 2502.16982, section 2.2).
const UPDATE_RMS: f64 = 0.2;

/// The numbers of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MuonStep {
    /// Learning rate, on AdamW's scale.
    pub lr: f64,
    /// What the direction is multiplied by beside the learning rate; the decay goes by the learning rate alone.
    pub scale: f64,
    /// Decay of the momentum (Nesterov's).
    pub momentum: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Decay of the moving average of the parameter.
    pub ema_decay: f64,
}

/// One matrix of a stack: some rows of a parameter.
#[derive(Debug, Clone, Copy)]
pub struct MuonSlot<'a> {
    /// The parameter, a matrix in f32.
    pub param: &'a Var,
    /// Its gradient, f32 or bf16; none counts as zero.
    pub grad: Option<&'a Tensor>,
    /// Moving average of the parameter, f32; all slots of a stack have one, or none has.
    pub average: Option<&'a Tensor>,
    /// First row of the matrix in the parameter.
    pub row: usize,
}

/// One step of Muon on a stack of matrices of one shape, whose `momentum` is `[matrices, rows, columns]` f32: moves
/// parameters and averages in place and returns the momentum after the step.
///
/// With `g` the gradient times `clip_scale` (an f32 scalar on the device), `m = mu m + g`, `o = orthogonalise(g + mu m)`
/// and `w = (1 - lr decay) w - lr scale 0.2 sqrt(max(rows, columns)) o` (Moonlight, arXiv 2502.16982, equation 4). Nothing
/// waits for the device.
///
/// # Errors
/// If a slot does not fit the stack, or an operation fails.
pub fn muon(slots: &[MuonSlot<'_>], momentum: &Tensor, step: &MuonStep, clip_scale: &Tensor) -> Result<Tensor> {
    let (count, rows, columns) = momentum.dims3()?;
    if slots.len() != count {
        return Err(Error::shape(
            "muon",
            format!("{} slots for {count} matrices", slots.len()),
        ));
    }
    let stack = |pick: &dyn Fn(&MuonSlot<'_>) -> Result<Tensor>| -> Result<Tensor> {
        let parts = slots.iter().map(|slot| Ok(pick(slot)?.narrow(0, slot.row, rows)?));
        Ok(Tensor::stack(&parts.collect::<Result<Vec<_>>>()?, 0)?)
    };
    let params = stack(&|slot| Ok(slot.param.as_tensor().detach()))?;
    if params.dim(2)? != columns {
        return Err(Error::shape(
            "muon",
            format!(
                "a momentum of {:?} for matrices of {:?}",
                momentum.dims(),
                params.dims()
            ),
        ));
    }
    let grads = stack(&|slot| match slot.grad {
        Some(grad) => Ok(grad.detach().to_dtype(DType::F32)?),
        None => Ok(slot.param.as_tensor().detach().zeros_like()?),
    })?;
    let grads = grads.broadcast_mul(clip_scale)?;
    let momentum = (momentum.affine(step.momentum, 0.0)? + &grads)?;
    let direction = orthogonalise(&(momentum.affine(step.momentum, 0.0)? + grads)?)?;
    let rate = step.lr * step.scale * UPDATE_RMS * (rows.max(columns) as f64).sqrt();
    let params = (params.affine(1.0 - step.lr * step.weight_decay, 0.0)? - direction.affine(rate, 0.0)?)?;
    let averages: Option<Vec<&Tensor>> = slots.iter().map(|slot| slot.average).collect();
    if let Some(averages) = &averages {
        let before = stack(&|slot| Ok(slot.average.unwrap_or(slot.param).detach()))?;
        let after = (&before + (&params - &before)?.affine(1.0 - step.ema_decay, 0.0)?)?;
        write_back(&after, slots, |index| averages[index])?;
    }
    write_back(&params, slots, |index| slots[index].param)?;
    Ok(momentum)
}

#[expect(
    clippy::disallowed_methods,
    reason = "in place is what an optimiser step is; nothing here is tracked"
)]
fn write_back<'a>(stack: &Tensor, slots: &[MuonSlot<'_>], target: impl Fn(usize) -> &'a Tensor) -> Result<()> {
    for (index, slot) in slots.iter().enumerate() {
        target(index).slice_set(&stack.get(index)?, 0, slot.row)?;
    }
    Ok(())
}

/// For each matrix of a stack `[matrices, rows, columns]` f32 one with the same singular vectors and all singular
/// values near 1, by Newton-Schulz iteration: on CUDA in bf16, on a CPU in f32. The result is f32; a matrix of zeros
/// stays one.
///
/// # Errors
/// If an operation fails.
pub fn orthogonalise(matrices: &Tensor) -> Result<Tensor> {
    let (count, rows, columns) = matrices.dims3()?;
    let dtype = if matrices.device().is_cuda() {
        DType::BF16
    } else {
        DType::F32
    };
    let [a, b, c] = QUINTIC;
    // The Frobenius norm bounds the largest singular value, which the iteration needs to be at most 1.
    let squares = matrices.reshape((count, rows * columns))?.sqr()?.sum_keepdim(1)?;
    let norm = squares.sqrt()?.affine(1.0, 1e-7)?.unsqueeze(2)?;
    let mut x = matrices.broadcast_div(&norm)?.to_dtype(dtype)?;
    for _ in 0..ROUNDS {
        let transposed = x.t()?;
        // The smaller of the two Gram matrices: (x x^T) x = x (x^T x).
        let wide = rows <= columns;
        let gram = if wide {
            x.matmul(&transposed)
        } else {
            transposed.matmul(&x)
        }?;
        let polynomial = (gram.affine(b, 0.0)? + gram.matmul(&gram)?.affine(c, 0.0)?)?;
        let rest = if wide {
            polynomial.matmul(&x)
        } else {
            x.matmul(&polynomial)
        }?;
        x = (x.affine(a, 0.0)? + rest)?;
    }
    Ok(x.to_dtype(DType::F32)?)
}
