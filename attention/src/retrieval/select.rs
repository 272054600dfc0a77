//! The chunks that units choose.

use candle_core::{DType, Tensor};
use drdiff_kernels::embedding;

use super::{Unit, Units};
use crate::Result;

/// Scores that are on the host at a time.
const SCORES: usize = 1 << 24;

/// The chunks that the units of a batch chose: at most `slots` for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    slots: usize,
    chosen: Vec<Vec<u32>>,
}

impl Selection {
    /// The most chunks that a unit may choose.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// The chosen chunks of the unit `unit` of all, sequence after sequence: numbers in its sequence, ascending.
    #[must_use]
    pub fn of(&self, unit: usize) -> &[u32] {
        &self.chosen[unit]
    }
}

/// For each unit of `batch` sequences the `slots` candidates with the highest scores, of equal ones the first.
///
/// A unit's score for a chunk is the product of the mean of its rows' `queries`, `[batch * rows, R]`, with the chunk's
/// row of `landmarks`, `[batch * chunks, R]`, in f32. Nothing is learned through the choice itself.
///
/// # Errors
/// If the shapes do not fit.
pub fn select(queries: &Tensor, landmarks: &Tensor, units: &Units, batch: usize, slots: usize) -> Result<Selection> {
    let chunks = units.chunks();
    let count = units.units().len();
    let width = landmarks.dim(1)?;
    let mut chosen = Vec::with_capacity(batch * count);
    if chunks == 0 || count == 0 {
        chosen.resize(batch * count, Vec::new());
        return Ok(Selection { slots, chosen });
    }
    let sums = sums(queries, units, batch)?.reshape((batch, count, width))?;
    let landmarks = landmarks
        .detach()
        .to_dtype(DType::F32)?
        .reshape((batch, chunks, width))?;
    for sequence in 0..batch {
        let landmarks = landmarks.get(sequence)?.t()?;
        for (index, slab) in units.units().chunks((SCORES / chunks).max(1)).enumerate() {
            let first = index * (SCORES / chunks).max(1);
            let scores = sums.get(sequence)?.narrow(0, first, slab.len())?.matmul(&landmarks)?;
            let scores = scores.flatten_all()?.to_vec1::<f32>()?;
            let rows = scores.chunks(chunks).zip(slab);
            chosen.extend(rows.map(|(scores, unit)| best(scores, unit, slots)));
        }
    }
    Ok(Selection { slots, chosen })
}

/// The sum of the queries of each unit, which orders chunks as their mean does: `[batch * units, R]` f32.
fn sums(queries: &Tensor, units: &Units, batch: usize) -> Result<Tensor> {
    let queries = queries.detach().to_dtype(DType::F32)?;
    let (rows, width) = queries.dims2()?;
    let padded = Tensor::cat(&[&queries, &queries.narrow(0, 0, 1)?.zeros_like()?], 0)?;
    let widest = units.widest();
    let mut ids = Vec::with_capacity(batch * units.units().len() * widest);
    for sequence in 0..batch {
        for unit in units.units() {
            let row = |index| match unit.rows.start + index {
                row if row < unit.rows.end => (sequence * units.rows() + row) as u32,
                _ => rows as u32,
            };
            ids.extend((0..widest).map(row));
        }
    }
    let count = batch * units.units().len();
    let ids = Tensor::from_vec(ids, count * widest, queries.device())?;
    Ok(embedding(&ids, &padded)?.reshape((count, widest, width))?.sum(1)?)
}

/// The candidates with the highest scores, in ascending order.
fn best(scores: &[f32], unit: &Unit, slots: usize) -> Vec<u32> {
    let mut best: Vec<usize> = Vec::with_capacity(slots + 1);
    for chunk in unit.candidates() {
        // Candidates ascend, so an equal score is a later one: it stays behind.
        let rank = best.partition_point(|&kept| scores[kept] >= scores[chunk]);
        if rank < slots {
            best.insert(rank, chunk);
            best.truncate(slots);
        }
    }
    let mut best: Vec<u32> = best.into_iter().map(|chunk| chunk as u32).collect();
    best.sort_unstable();
    best
}
