//! A selection turned around: for each chunk the rows that read it, packed into query tiles.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use drdiff_kernels::{TilePlan, Visibility};

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
    /// The chosen chunks, each once, counted over the batch: `[chosen]`.
    pub(super) chosen: Tensor,
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
    /// Packed pairs to the positions of the chosen chunks.
    pub(super) plan: Arc<TilePlan>,
}

/// A unit that reads a chunk.
struct Reader {
    chunk: u32,
    slot: usize,
    first: usize,
    count: usize,
}

impl Lists {
    /// The lists of `selection` for `batch` sequences with these `units`. Takes time for what was chosen and for the
    /// rows, not for all chunks.
    ///
    /// # Errors
    /// If the memory on `device` cannot be had.
    pub fn new(selection: &Selection, units: &Units, batch: usize, device: &Device) -> Result<Self> {
        let (slots, rows) = (selection.slots(), batch * units.rows());
        let readers = readers(selection, units, batch);
        let (mut chosen, mut tiles) = (Vec::new(), Vec::new());
        let (mut source, mut pair) = (Vec::new(), Vec::new());
        let (mut place, mut chunk) = (vec![0; slots * rows], vec![0; slots * rows]);
        let mut mask = vec![f32::NEG_INFINITY; slots * rows];
        for same in readers.chunk_by(|a, b| a.chunk == b.chunk) {
            chosen.extend(same.first().map(|reader| reader.chunk));
            for reader in same {
                for row in reader.first..reader.first + reader.count {
                    let at = reader.slot * rows + row;
                    (place[at], chunk[at], mask[at]) = (source.len() as u32, reader.chunk, 0.0);
                    source.push(row as u32);
                    pair.push(at as u32);
                }
            }
            source.resize(source.len().next_multiple_of(CHUNK), 0);
            pair.resize(source.len(), (slots * rows) as u32);
            tiles.resize(source.len() / CHUNK, chosen.len() - 1);
        }
        let visibility = Visibility::dense(source.len(), chosen.len() * CHUNK);
        let plan = TilePlan::from_lists(visibility, |tile| vec![tiles[tile]])?;
        let indices = |indices: Vec<u32>| {
            let count = indices.len();
            Tensor::from_vec(indices, count, device)
        };
        Ok(Self {
            slots,
            rows,
            chosen: indices(chosen)?,
            source: indices(source)?,
            pair: indices(pair)?,
            place: indices(place)?,
            chunk: indices(chunk)?,
            mask: Tensor::from_vec(mask, (slots, rows), device)?,
            plan: Arc::new(plan),
        })
    }

    /// Whether nobody chose anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plan.queries() == 0
    }
}

/// Who reads what: by chunk, counted over the batch, then by unit.
fn readers(selection: &Selection, units: &Units, batch: usize) -> Vec<Reader> {
    let mut readers = Vec::new();
    for (index, unit) in (0..batch).flat_map(|_| units.units()).enumerate() {
        let sequence = index / units.units().len();
        for (slot, chunk) in selection.of(index).iter().enumerate() {
            readers.push(Reader {
                chunk: (sequence * units.chunks()) as u32 + chunk,
                slot,
                first: sequence * units.rows() + unit.rows.start,
                count: unit.rows.len(),
            });
        }
    }
    readers.sort_by_key(|reader| reader.chunk);
    readers
}
