//! SwiGLU (Shazeer, "GLU variants improve transformer", 2020): silu of one half times the other.

use super::cpu::{Operand, Rows};
use crate::{Error, Result, simd};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use rayon::prelude::*;

const NAME: &str = "swiglu";

/// `silu(first half) * second half` of the last dimension: `[.., 2m]` to `[.., m]`.
///
/// # Errors
/// If the last dimension is odd.
pub fn swiglu(x: &Tensor) -> Result<Tensor> {
    if x.rank() == 0 || !x.dims()[x.rank() - 1].is_multiple_of(2) {
        return Err(Error::shape(
            NAME,
            format!("the last dimension of {:?} is not even", x.dims()),
        ));
    }
    Ok(x.apply_op1(SwiGlu)?)
}

/// The operation behind [`swiglu`].
pub(crate) struct SwiGlu;

impl CustomOp1 for SwiGlu {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = Rows::new(NAME, storage, layout)?;
        let half = x.width() / 2;
        let mut dims = layout.dims().to_vec();
        dims[layout.dims().len() - 1] = half;
        let mut out = vec![0.0; x.count() * half];
        if half > 0 {
            out.par_chunks_mut(half).enumerate().for_each(|(row, out)| {
                let (gate, up) = x.row(row).split_at(half);
                simd::silu_times(out, gate, up);
            });
        }
        Ok((CpuStorage::F32(out), Shape::from(dims)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        storage: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> candle_core::Result<(candle_core::CudaStorage, Shape)> {
        crate::cuda::swiglu::forward(storage, layout)
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        self.backward(x, dy).map(Some)
    }
}

impl SwiGlu {
    /// The gradient of x.
    pub(crate) fn backward(&self, x: &Tensor, dy: &Tensor) -> candle_core::Result<Tensor> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return Ok(crate::cuda::swiglu::backward(&x.detach(), &dy.detach(), false)?.0);
        }
        self.gradient(x, dy)
    }

    /// The gradient of x, and [`swiglu`] of x once more.
    pub(crate) fn backward_with_product(&self, x: &Tensor, dy: &Tensor) -> Result<(Tensor, Tensor)> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return match crate::cuda::swiglu::backward(&x.detach(), &dy.detach(), true)? {
                (dx, Some(product)) => Ok((dx, product)),
                (_, None) => unreachable!("the product was asked for"),
            };
        }
        Ok((self.gradient(x, dy)?, swiglu(x)?))
    }

    /// The gradient of x on the CPU.
    fn gradient(&self, x: &Tensor, dy: &Tensor) -> candle_core::Result<Tensor> {
        let half = x.dims()[x.rank() - 1] / 2;
        let mut dx = vec![0.0; x.elem_count()];
        let (operand, dy) = (Operand::new(NAME, x), Operand::new(NAME, dy));
        let (rows, dy) = (operand.rows()?, dy.rows()?);
        if half > 0 {
            dx.par_chunks_mut(2 * half).enumerate().for_each(|(row, dx)| {
                let (gate, up) = rows.row(row).split_at(half);
                let (dgate, dup) = dx.split_at_mut(half);
                simd::silu_times_backward(dgate, dup, gate, up, dy.row(row));
            });
        }
        Tensor::from_vec(dx, x.shape(), x.device())
    }
}
