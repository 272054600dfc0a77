//! The chunks that units choose.

use candle_core::{DType, Tensor};
use drdiff_kernels::embedding;

use super::{Unit, Units};
use crate::Result;

/// Scores of single rows that are in memory at a time.
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
/// A unit's score for a chunk is the highest product of one of its rows' `queries`, `[batch * rows, R]`, with the chunk's
/// row of `landmarks`, `[batch * chunks, R]`, in f32. In a mean, the one row that asks would be outvoted by those
/// beside it that look for nothing. Where any of a unit's rows are `asking` (`[batch * rows]`), only those choose: what the others
/// would look for is never learned. Nothing is learned through the choice itself.
///
/// # Errors
/// If the shapes do not fit.
pub fn select(
    queries: &Tensor,
    landmarks: &Tensor,
    (units, asking): (&Units, Option<&[bool]>),
    batch: usize,
    slots: usize,
) -> Result<Selection> {
    let chunks = units.chunks();
    let count = units.units().len();
    let mut chosen = Vec::with_capacity(batch * count);
    if chunks == 0 || count == 0 {
        chosen.resize(batch * count, Vec::new());
        return Ok(Selection { slots, chosen });
    }
    let width = landmarks.dim(1)?;
    let queries = side_by_side(queries, (units, asking), batch)?;
    let landmarks = landmarks
        .detach()
        .to_dtype(DType::F32)?
        .reshape((batch, chunks, width))?
        .transpose(1, 2)?;
    let widest = units.widest();
    // Whole sequences at a time, or parts of one.
    let unit = widest * chunks;
    let sequences = (SCORES / (unit * count)).clamp(1, batch);
    let some = if sequences > 1 {
        count
    } else {
        (SCORES / unit).clamp(1, count)
    };
    for first in (0..batch).step_by(sequences) {
        let sequences = sequences.min(batch - first);
        let landmarks = landmarks.narrow(0, first, sequences)?;
        for (index, slab) in units.units().chunks(some).enumerate() {
            let rows = queries.narrow(0, first, sequences)?;
            let rows = rows.narrow(1, index * some * widest, slab.len() * widest)?;
            let scores = rows.contiguous()?.matmul(&landmarks)?;
            let scores = scores.reshape((sequences * slab.len(), widest, chunks))?.max(1)?;
            let scores = scores.flatten_all()?.to_vec1::<f32>()?;
            let rows = scores.chunks(chunks).zip(slab.iter().cycle());
            chosen.extend(rows.map(|(scores, unit)| best(scores, unit, slots)));
        }
    }
    Ok(Selection { slots, chosen })
}

/// The queries of the units' rows that choose, `[batch, units * widest, R]` f32; the first of them fills all other places.
fn side_by_side(queries: &Tensor, (units, asking): (&Units, Option<&[bool]>), batch: usize) -> Result<Tensor> {
    let queries = queries.detach().to_dtype(DType::F32)?;
    let width = queries.dim(1)?;
    let widest = units.widest();
    let places = units.units().len() * widest;
    let mut ids = Vec::with_capacity(batch * places);
    for sequence in 0..batch {
        for unit in units.units() {
            let first = sequence * units.rows();
            let rows = first + unit.rows.start..first + unit.rows.end;
            let asks = |row: &usize| asking.is_some_and(|asking| asking.get(*row) == Some(&true));
            let one = rows.clone().find(asks);
            let chooses = |row: &usize| rows.contains(row) && (one.is_none() || asks(row));
            let other = one.unwrap_or(rows.start);
            let places = rows.start..rows.start + widest;
            ids.extend(places.map(|row| if chooses(&row) { row } else { other } as u32));
        }
    }
    let ids = Tensor::from_vec(ids, batch * places, queries.device())?;
    Ok(embedding(&ids, &queries)?.reshape((batch, places, width))?)
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
