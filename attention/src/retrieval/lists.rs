//! A selection turned around: for each chunk the rows that read it, packed into query tiles.

use candle_core::{Device, Tensor};
use drdiff_kernels::{TilePlan, Visibility};
use std::sync::Arc;

use super::{CHUNK, Selection, Units};
use crate::Result;

/// Where the rows of a pass meet the chunks that their units chose, as indices for gathers.
///
/// A pair is a row and one of its slots. Pairs are packed chunk after chunk, each chunk's into query tiles of its own, so
/// that attention to chosen chunks is one call of the tile kernel with one key tile for each query tile.
#[derive(Debug)]
pub struct Lists {
    pub(super) slots: usize,
    pub(super) rows: usize,
    /// The row of each packed pair, `[packed]`.
    pub(super) source: Tensor,
    /// Of each packed pair, `slot * rows + row`; `slots * rows` behind the last pair of a chunk. `[packed]`.
    pub(super) pair: Tensor,
    /// Where the pairs are packed, `[slots * rows]`; 0 for empty slots.
    pub(super) place: Tensor,
    /// The chunk of each pair, counted over the batch, `[slots * rows]`; 0 for empty slots.
    pub(super) chunk: Tensor,
    /// What is added to scores: 0, or negative infinity for empty slots. `[slots, rows]` f32.
    pub(super) mask: Tensor,
    /// Packed pairs to the positions of all chunks.
    pub(super) plan: Arc<TilePlan>,
}

impl Lists {
    /// The lists of `selection` for `batch` sequences with these `units`.
    ///
    /// # Errors
    /// If the memory on `device` cannot be had.
    pub fn new(selection: &Selection, units: &Units, batch: usize, device: &Device) -> Result<Self> {
        let (slots, rows, chunks) = (selection.slots(), batch * units.rows(), batch * units.chunks());
        let mut readers = vec![Vec::new(); chunks];
        for (index, unit) in (0..batch).flat_map(|_| units.units()).enumerate() {
            let sequence = index / units.units().len();
            for (slot, chunk) in selection.of(index).iter().enumerate() {
                let first = sequence * units.rows() + unit.rows.start;
                readers[sequence * units.chunks() + *chunk as usize].push((slot, first, unit.rows.len()));
            }
        }
        let (mut source, mut pair) = (Vec::new(), Vec::new());
        let (mut place, mut chunk) = (vec![0; slots * rows], vec![0; slots * rows]);
        let mut mask = vec![f32::NEG_INFINITY; slots * rows];
        let mut tiles = Vec::new();
        for (number, readers) in readers.iter().enumerate() {
            for &(slot, first, count) in readers {
                for row in first..first + count {
                    let at = slot * rows + row;
                    (place[at], chunk[at], mask[at]) = (source.len() as u32, number as u32, 0.0);
                    source.push(row as u32);
                    pair.push(at as u32);
                }
            }
            source.resize(source.len().next_multiple_of(CHUNK), 0);
            pair.resize(source.len(), (slots * rows) as u32);
            tiles.resize(source.len() / CHUNK, Some(number));
        }
        if tiles.is_empty() {
            // Empty slots point at the first pair, so there is one, which reads nothing.
            source.resize(CHUNK, 0);
            pair.resize(CHUNK, (slots * rows) as u32);
            tiles.push(None);
        }
        let packed = source.len();
        let plan = TilePlan::from_lists(Visibility::dense(packed, chunks * CHUNK), |tile| {
            tiles[tile].into_iter().collect()
        })?;
        Ok(Self {
            slots,
            rows,
            source: Tensor::from_vec(source, packed, device)?,
            pair: Tensor::from_vec(pair, packed, device)?,
            place: Tensor::from_vec(place, slots * rows, device)?,
            chunk: Tensor::from_vec(chunk, slots * rows, device)?,
            mask: Tensor::from_vec(mask, (slots, rows), device)?,
            plan: Arc::new(plan),
        })
    }

    /// Query tiles of the kernel's call.
    #[must_use]
    pub fn tiles(&self) -> usize {
        self.plan.query_tiles()
    }
}
