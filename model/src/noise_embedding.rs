//! Noise conditioning, a switch: adaLN from the mean noise level.

use candle_core::{DType, Tensor};
use drdiff_kernels::{Builder, Init, Linear, Value};

use crate::Result;

const FEATURES: usize = 16;

/// Turns a mean signal into features: `cos(pi k alpha^2)` for `k = 0..FEATURES`, smooth and bounded on `[0, 1]`.
fn features(mean_signal: &Tensor, dtype: DType) -> Result<Tensor> {
    let k = Tensor::arange(0f32, FEATURES as f32, mean_signal.device())?.reshape((1, FEATURES))?;
    let angle = mean_signal
        .to_dtype(DType::F32)?
        .matmul(&k)?
        .affine(std::f64::consts::PI, 0.0)?;
    Ok(angle.cos()?.to_dtype(dtype)?)
}

/// Scale and shift for one norm (DiT, arXiv 2212.09748, section 3.2), starting at the identity.
#[derive(Debug)]
pub(crate) struct Modulation {
    map: Linear,
}

impl Modulation {
    pub(crate) fn new(builder: &Builder, width: usize) -> Result<Self> {
        Ok(Self {
            map: builder.linear("modulation", 2 * width, FEATURES, Init::Const(0.0))?,
        })
    }

    /// `x`: `[rows, width]` after its norm; `mean_signal`: `[rows, 1]`.
    pub(crate) fn forward(&self, x: &Value, mean_signal: &Tensor) -> Result<Value> {
        let both = self.map.forward(&features(mean_signal, x.tensor().dtype())?)?;
        let width = x.tensor().dim(1)?;
        let (scale, shift) = (both.narrow(1, 0, width)?, both.narrow(1, width, width)?);
        Ok(x.through(|x| Ok((((x * scale)? + x)? + shift)?))?)
    }
}
