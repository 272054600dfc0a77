//! The columns of a matrix of scores that fit best, chosen where the scores are: they do not travel to the host.

use super::cpu::Operand;
use crate::{Error, Result};
use candle_core::{DType, Tensor};
use rayon::prelude::*;
use std::ops::Range;

const NAME: &str = "strongest";

/// For each unit of rows the `slots` candidates among the columns with the highest scores, of equal ones the first: their
/// numbers in ascending order, and `u32::MAX` behind them where there are fewer, `[U, slots]` u32.
///
/// `scores: [U, W, C]` f32 has W rows for each unit; a column's score is the highest of them. `candidates: [U, 4]` u32 are
/// the begin and end of two ranges of columns for each unit; a column in either of them may be chosen. NaN is no score: a
/// column that has no other is never chosen. Nothing is learned through a choice.
///
/// # Errors
/// If shapes or types do not fit, or a tensor is not contiguous.
pub fn strongest(scores: &Tensor, candidates: &Tensor, slots: usize) -> Result<Tensor> {
    let (units, widest, columns) = scores.dims3()?;
    let fits = scores.dtype() == DType::F32 && candidates.dtype() == DType::U32 && candidates.dims() == [units, 4];
    if !fits || !scores.is_contiguous() || !candidates.is_contiguous() {
        return Err(Error::shape(
            NAME,
            format!("scores {scores:?}, candidates {candidates:?}"),
        ));
    }
    if units * slots == 0 {
        return Ok(Tensor::zeros((units, slots), DType::U32, scores.device())?);
    }
    if widest * columns == 0 {
        return Ok(Tensor::full(u32::MAX, (units, slots), scores.device())?);
    }
    #[cfg(feature = "cuda")]
    if scores.device().is_cuda() {
        return Ok(crate::cuda::strongest::forward(scores, candidates, slots)?);
    }
    let (scores, candidates) = (Operand::new(NAME, scores), Operand::new(NAME, candidates));
    let mut chosen = vec![u32::MAX; units * slots];
    let units_rows = scores.slice()?.par_chunks(widest * columns);
    units_rows
        .zip(candidates.indices()?.par_chunks(4))
        .zip(chosen.par_chunks_mut(slots))
        .for_each(|((rows, candidates), chosen)| {
            let [before, behind] = [0, 2].map(|at| candidates[at] as usize..candidates[at + 1] as usize);
            choose(rows, columns, [&before, &behind], chosen);
        });
    Ok(Tensor::from_vec(chosen, (units, slots), &candle_core::Device::Cpu)?)
}

/// The choice of one unit with these `rows`, into the beginning of `chosen`.
fn choose(rows: &[f32], columns: usize, candidates: [&Range<usize>; 2], chosen: &mut [u32]) {
    let end = candidates.map(|range| range.end).into_iter().max().unwrap_or(0);
    // NaN gives way to any number.
    let mut peaks = vec![f32::NAN; end.min(columns)];
    for row in rows.chunks(columns) {
        for (peak, score) in peaks.iter_mut().zip(row) {
            *peak = peak.max(*score);
        }
    }
    let slots = chosen.len();
    let mut best: Vec<usize> = Vec::with_capacity(slots.min(columns) + 1);
    for (column, peak) in peaks.iter().enumerate() {
        if peak.is_nan() || !candidates.iter().any(|range| range.contains(&column)) {
            continue;
        }
        // Columns ascend, so an equal score is a later one: it stays behind.
        let rank = best.partition_point(|&kept| peaks[kept] >= *peak);
        if rank < slots {
            best.insert(rank, column);
            best.truncate(slots);
        }
    }
    best.sort_unstable();
    for (chosen, column) in chosen.iter_mut().zip(best) {
        *chosen = column as u32;
    }
}
