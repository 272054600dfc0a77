//! A linear map without bias, dense or quantised.

use crate::{Error, Result};
use candle_core::quantized::QMatMul;
use candle_core::{Module, Tensor};

/// `y = x W^T`.
#[derive(Debug, Clone)]
pub enum Linear {
    /// `[out, in]`; a learned one is an f32 master that is cast to the input's dtype inside the graph.
    Dense(Tensor),
    /// Blocks of a few bits, on the CPU, for f32 input; records no gradient.
    Quantized(QMatMul),
}

impl Linear {
    /// `[.., in]` to `[.., out]`.
    ///
    /// # Errors
    /// If the last dimension of `x` is not the map's input width.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(weight) => dense(x, weight),
            Self::Quantized(matmul) => Ok(matmul.forward(&x.contiguous()?)?),
        }
    }
}

/// One product for all leading dimensions: a batched product would copy the weight for every batch entry.
fn dense(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (out, width) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    match shape.last_mut() {
        Some(last) if *last == width => *last = out,
        _ => {
            return Err(Error::shape(
                "linear",
                format!("input {shape:?} for a weight of {out} x {width}"),
            ));
        }
    }
    let rows = x.elem_count() / width.max(1);
    let weight = weight.to_dtype(x.dtype())?;
    Ok(x.reshape((rows, width))?.matmul(&weight.t()?)?.reshape(shape)?)
}
