//! The chunks that units choose.

use candle_core::{DType, Tensor};
use drdiff_kernels::{embedding, strongest};
use rayon::prelude::*;

use super::Units;
use crate::Result;

/// Scores of single rows that are in memory at a time, on a CPU and on a GPU, which needs many to be busy.
const SCORES: (usize, usize) = (1 << 24, 1 << 26);
/// What stands in slots behind the last chunk.
const EMPTY: u32 = u32::MAX;

/// The chunks that the units of a batch chose: at most `slots` for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    slots: usize,
    /// `[units, slots]`, the chosen chunks of each unit first.
    chosen: Vec<u32>,
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
        let slots = &self.chosen[unit * self.slots..(unit + 1) * self.slots];
        &slots[..slots.partition_point(|chunk| *chunk != EMPTY)]
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
    let (chunks, count) = (units.chunks(), units.units().len());
    if chunks * count * batch * slots == 0 {
        let chosen = vec![EMPTY; batch * count * slots];
        return Ok(Selection { slots, chosen });
    }
    let width = landmarks.dim(1)?;
    let queries = side_by_side(queries, (units, asking), batch)?;
    let landmarks = landmarks
        .detach()
        .to_dtype(DType::F32)?
        .reshape((batch, chunks, width))?
        .transpose(1, 2)?;
    let candidates = candidates(units, batch, &queries)?;
    let widest = units.widest();
    // Whole sequences at a time, or parts of one.
    let most = if queries.device().is_cpu() { SCORES.0 } else { SCORES.1 };
    let unit = widest * chunks;
    let sequences = (most / (unit * count)).clamp(1, batch);
    let some = if sequences > 1 {
        count
    } else {
        (most / unit).clamp(1, count)
    };
    let mut chosen = Vec::new();
    for first in (0..batch).step_by(sequences) {
        let sequences = sequences.min(batch - first);
        let landmarks = landmarks.narrow(0, first, sequences)?;
        for start in (0..count).step_by(some) {
            let some = some.min(count - start);
            let rows = queries.narrow(0, first, sequences)?;
            let rows = rows.narrow(1, start * widest, some * widest)?;
            let scores = rows.contiguous()?.matmul(&landmarks)?;
            let scores = scores.reshape((sequences * some, widest, chunks))?;
            let candidates = candidates.narrow(0, first * count + start, sequences * some)?;
            chosen.push(strongest(&scores, &candidates, slots)?);
        }
    }
    // The one time that the host waits for the device.
    let chosen = Tensor::cat(&chosen, 0)?.flatten_all()?.to_vec1()?;
    Ok(Selection { slots, chosen })
}

/// The two ranges of candidates of each unit, `[batch * units, 4]` u32, beside `queries`.
fn candidates(units: &Units, batch: usize, queries: &Tensor) -> Result<Tensor> {
    let ranges = units.units().iter().flat_map(|unit| {
        let (before, behind) = (&unit.before, &unit.behind);
        [before.start, before.end, behind.start, behind.end].map(|chunk| chunk as u32)
    });
    let ranges: Vec<u32> = ranges.collect();
    let count = batch * units.units().len();
    Ok(Tensor::from_vec(ranges.repeat(batch), (count, 4), queries.device())?)
}

/// The queries of the units' rows that choose, `[batch, units * widest, R]` f32; the first of them fills all other places.
fn side_by_side(queries: &Tensor, (units, asking): (&Units, Option<&[bool]>), batch: usize) -> Result<Tensor> {
    let queries = queries.detach().to_dtype(DType::F32)?;
    let (count, widest) = (units.units().len(), units.widest());
    let shape = (batch, count * widest, queries.dim(1)?);
    // Units cover the rows in order: if all are equally large, the rows are in their places.
    if asking.is_none() && count * widest == units.rows() {
        return Ok(queries.reshape(shape)?);
    }
    let mut ids = vec![0; batch * count * widest];
    ids.par_chunks_mut(widest).enumerate().for_each(|(index, ids)| {
        let unit = &units.units()[index % count];
        let first = index / count * units.rows();
        let rows = first + unit.rows.start..first + unit.rows.end;
        let asks = |row: &usize| asking.is_some_and(|asking| asking.get(*row) == Some(&true));
        let one = rows.clone().find(asks);
        let chooses = |row: &usize| rows.contains(row) && (one.is_none() || asks(row));
        let other = one.unwrap_or(rows.start);
        for (id, row) in ids.iter_mut().zip(rows.start..) {
            *id = if chooses(&row) { row } else { other } as u32;
        }
    });
    let ids = Tensor::from_vec(ids, batch * count * widest, queries.device())?;
    Ok(embedding(&ids, &queries)?.reshape(shape)?)
}
