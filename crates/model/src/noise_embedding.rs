//! Noise conditioning, a switch: adaLN from the mean noise level.

use candle_core::{DType, Tensor};
use drdiff_kernels::{Builder, Init, Linear, Value};

use crate::Result;

const FEATURES: usize = 16;

/// Turns a mean signal, `[rows, 1]`, into features: `cos(pi k alpha^2)` for `k = 0..FEATURES`, smooth and bounded on
/// `[0, 1]`; the first is a constant.
pub(crate) fn features(mean_signal: &Tensor, dtype: DType) -> Result<Tensor> {
    let k = Tensor::arange(0f32, FEATURES as f32, mean_signal.device())?.reshape((1, FEATURES))?;
    let angle = mean_signal
        .to_dtype(DType::F32)?
        .matmul(&k)?
        .affine(std::f64::consts::PI, 0.0)?;
    Ok(angle.cos()?.to_dtype(dtype)?)
}

/// Scale and shift for one norm and a gate for the branch behind it (DiT, arXiv 2212.09748, section 3.2). All start at
/// the identity: branches are scaled down with depth already, so the gate starts open, not closed as in adaLN-Zero.
#[derive(Debug)]
pub(crate) struct Modulation {
    map: Linear,
    gate: Linear,
}

impl Modulation {
    pub(crate) fn new(builder: &Builder, width: usize) -> Result<Self> {
        Ok(Self {
            map: builder.linear("modulation", 2 * width, FEATURES, Init::Const(0.0))?,
            gate: builder.linear("gate", width, FEATURES, Init::Const(0.0))?,
        })
    }

    /// Scale and shift of the norm side by side, `[rows, 2 width]`, from [`features`].
    pub(crate) fn of_norm(&self, features: &Value) -> Result<Value> {
        Ok(features.linear(&self.map)?)
    }

    /// How much more than all of the branch is let through, `[rows, width]`.
    pub(crate) fn of_branch(&self, features: &Value) -> Result<Value> {
        Ok(features.linear(&self.gate)?)
    }
}
