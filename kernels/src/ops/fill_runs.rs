//! Long lists of numbers from their runs: what one number says for many rows need not be told row by row.

use super::cpu::Operand;
use crate::{Error, Result};
use candle_core::{DType, Tensor};

const NAME: &str = "fill_runs";

/// `[len]` u32 on the runs' device, all `fill` but for the `runs`, which must not overlap.
///
/// `runs` are starts, first values and counts, `[n]` u32 each: from a start on lie as many numbers as the count says, which
/// begin with the first value and grow by `step`.
///
/// # Errors
/// If shapes or types do not fit, or on a CPU if a run ends behind `len`; on a GPU what lies there is left out.
pub fn fill_runs(runs: [&Tensor; 3], len: usize, (fill, step): (u32, u32)) -> Result<Tensor> {
    let [starts, values, counts] = runs;
    let fits = |x: &&Tensor| x.rank() == 1 && x.dims() == starts.dims() && x.dtype() == DType::U32 && x.is_contiguous();
    if !runs.iter().all(fits) || u32::try_from(len).is_err() {
        return Err(Error::shape(NAME, format!("{len} numbers from {runs:?}")));
    }
    #[cfg(feature = "cuda")]
    if starts.device().is_cuda() {
        return Ok(crate::cuda::fill_runs::forward(runs, len, (fill, step))?);
    }
    let mut numbers = vec![fill; len];
    let [starts, values, counts] = [starts, values, counts].map(|x| Operand::new(NAME, x));
    let (starts, values, counts) = (starts.indices()?, values.indices()?, counts.indices()?);
    for ((&start, &value), &count) in starts.iter().zip(values).zip(counts) {
        let Some(run) = numbers.get_mut(start as usize..start as usize + count as usize) else {
            return Err(Error::shape(NAME, format!("{count} numbers from {start} of {len}")));
        };
        for (number, grown) in run.iter_mut().zip(0..) {
            *number = value + step * grown;
        }
    }
    Ok(Tensor::from_vec(numbers, len, &candle_core::Device::Cpu)?)
}
