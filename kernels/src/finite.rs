//! Whether weights are numbers at all.

use candle_core::{DType, Result, Tensor};

/// Whether all numbers of a tensor of floats are finite in 32 bits.
///
/// # Errors
/// If it is no tensor of floats.
pub fn all_finite(tensor: &Tensor) -> Result<bool> {
    // The sum of magnitudes is finite only if every number is.
    let sum = tensor.to_dtype(DType::F32)?.abs()?.sum_all()?;
    Ok(sum.to_scalar::<f32>()?.is_finite())
}
