//! A selection turned around: for each chunk the rows that read it, packed into query tiles.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use drdiff_kernels::{TilePlan, fill_runs};
use rayon::prelude::*;

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

/// A unit that reads a chunk: neighbouring rows, and as many neighbouring pairs of them and one slot.
struct Reader {
    chunk: u32,
    first_row: u32,
    first_pair: u32,
    count: usize,
}

impl Lists {
    /// The lists of `selection` for `batch` sequences with these `units`. The host takes time for what the units chose; what
    /// that says of each row is written on `device`.
    ///
    /// # Errors
    /// If the memory on `device` cannot be had.
    pub fn new(selection: &Selection, units: &Units, batch: usize, device: &Device) -> Result<Self> {
        let (slots, rows) = (selection.slots(), batch * units.rows());
        let readers = readers(selection, units, batch);
        let (mut chosen, mut tiles) = (Vec::new(), Vec::new());
        let mut packed = 0;
        let mut runs = Vec::with_capacity(6 * readers.len());
        for same in readers.chunk_by(|a, b| a.chunk == b.chunk) {
            for reader in same {
                runs.push(packed as u32);
                packed += reader.count;
            }
            packed = packed.next_multiple_of(CHUNK);
            tiles.resize(packed / CHUNK, chosen.len() as u32);
            chosen.extend(same.first().map(|reader| reader.chunk));
        }
        let plan = TilePlan::one_tile_each(&tiles, chosen.len())?;
        let columns: [fn(&Reader) -> u32; 5] = [
            |reader| reader.count as u32,
            |reader| reader.first_row,
            |reader| reader.first_pair,
            |reader| reader.chunk,
            |_| 1,
        ];
        runs.extend(columns.iter().flat_map(|of| readers.iter().map(of)));
        let runs = Tensor::from_vec(runs, (6, readers.len()), device)?;
        let [places, counts, rows_of, pairs, chunks, ones] = [0, 1, 2, 3, 4, 5].map(|column| runs.get(column));
        let (places, counts, pairs) = (places?, counts?, pairs?);
        let all = slots * rows;
        let packed_from = |values: &Tensor, fill| fill_runs([&places, values, &counts], packed, (fill, 1));
        let pairs_from = |values: &Tensor, step| fill_runs([&pairs, values, &counts], all, (0, step));
        Ok(Self {
            slots,
            rows,
            chosen: Tensor::from_vec(chosen, plan.key_tiles(), device)?,
            source: packed_from(&rows_of?, 0)?,
            pair: packed_from(&pairs, all as u32)?,
            place: pairs_from(&places, 1)?,
            chunk: pairs_from(&chunks?, 0)?,
            // The logarithms of 1 and 0.
            mask: pairs_from(&ones?, 0)?
                .to_dtype(DType::F32)?
                .log()?
                .reshape((slots, rows))?,
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
    let (count, rows) = (units.units().len(), batch * units.rows());
    let of_unit = |index: usize| {
        let (sequence, unit) = (index / count, &units.units()[index % count]);
        let first_row = sequence * units.rows() + unit.rows.start;
        let chosen = selection.of(index).iter().enumerate();
        chosen.map(move |(slot, chunk)| Reader {
            chunk: (sequence * units.chunks()) as u32 + chunk,
            first_row: first_row as u32,
            first_pair: (slot * rows + first_row) as u32,
            count: unit.rows.len(),
        })
    };
    let mut readers: Vec<Reader> = (0..batch * count).into_par_iter().flat_map_iter(of_unit).collect();
    readers.par_sort_by_key(|reader| reader.chunk);
    readers
}
