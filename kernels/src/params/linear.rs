//! A linear map without bias, dense or quantised.

use crate::ops::Operand;
use crate::{Error, QuantizedMatrix, Result, gemm};
use candle_core::{DType, Device, Tensor};

/// `y = x W^T`.
#[derive(Debug, Clone)]
pub enum Linear {
    /// `[out, in]`; a learned one is an f32 master that is cast to the input's dtype inside the graph.
    Dense(Tensor),
    /// Blocks of a few bits, on the CPU, for f32 input; records no gradient.
    Quantized(QuantizedMatrix),
}

impl Linear {
    /// `[.., in]` to `[.., out]`.
    ///
    /// # Errors
    /// If the last dimension of `x` is not the map's input width.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(weight) => dense(x, weight),
            Self::Quantized(matrix) => matrix.forward(x),
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
    let tracked = x.track_op() || weight.track_op();
    if x.device().is_cpu() && x.dtype() == DType::F32 && weight.dtype() == DType::F32 && !tracked && width > 0 {
        let (x, weight) = (x.contiguous()?, weight.contiguous()?);
        let (x, weight) = (Operand::new("linear", &x), Operand::new("linear", &weight));
        let y = gemm::linear(x.slice()?, weight.slice()?, width);
        return Ok(Tensor::from_vec(y, shape, &Device::Cpu)?);
    }
    let rows = x.elem_count() / width.max(1);
    let weight = weight.to_dtype(x.dtype())?;
    Ok(x.reshape((rows, width))?.matmul(&weight.t()?)?.reshape(shape)?)
}
