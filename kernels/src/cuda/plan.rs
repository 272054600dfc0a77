//! Attention plans in the GPU's memory.

use crate::plan::{Csr, TILE, TilePlan, split};
use candle_core::cuda_backend::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtr, DeviceRepr};
use candle_core::{DeviceLocation, Result, backend::BackendDevice, bail};

/// The group of a query without one; differs from that of a key without one, so that kernels only compare.
const NO_GROUP: i32 = -2;

/// `Plan` of `cu/attention.cuh`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct PlanAt {
    offsets: u64,
    entries: u64,
    queries: u64,
    keys: u64,
    seats: u64,
}
// SAFETY: plain addresses in C's layout.
unsafe impl DeviceRepr for PlanAt {}

/// The lists and codes of a plan on one GPU.
#[derive(Debug)]
pub(crate) struct DevicePlan {
    location: DeviceLocation,
    rows: DeviceCsr,
    cols: DeviceCsr,
    /// Rows of two query tiles each, for blocks that take both: `key tile << 4 | mode of the first << 2 | mode of the
    /// second`, where a mode is 0 to skip, 1 for full and 2 for partial.
    row_pairs: DeviceCsr,
    /// Columns of two key tiles each, in the same form.
    col_pairs: DeviceCsr,
    queries: CudaSlice<i32>,
    keys: CudaSlice<i32>,
    /// First key and number of keys of each sequence, if they share a tensor.
    seats: Option<CudaSlice<i32>>,
}

#[derive(Debug)]
struct DeviceCsr {
    offsets: CudaSlice<u32>,
    entries: CudaSlice<u32>,
}

impl DeviceCsr {
    fn new(csr: &Csr, device: &CudaDevice) -> Result<Self> {
        // Kernels may look at the first entry of an empty list.
        let entries = if csr.entries.is_empty() { &[0][..] } else { &csr.entries };
        Ok(Self {
            offsets: device.clone_htod(&csr.offsets)?,
            entries: device.clone_htod(entries)?,
        })
    }
}

/// Which form of the lists a kernel walks.
pub(super) enum Walk {
    Rows,
    Cols,
    RowPairs,
    ColPairs,
}

impl DevicePlan {
    /// The plan on this GPU, uploaded when it is asked for the first time.
    pub(super) fn of<'a>(plan: &'a TilePlan, device: &CudaDevice) -> Result<&'a Self> {
        if plan.device.get().is_none() {
            // Another thread may have been faster: its upload is the same.
            let _ = plan.device.set(Self::upload(plan, device)?);
        }
        match plan.device.get() {
            Some(found) if found.location == device.location() => Ok(found),
            _ => bail!("attention plan: already used on another GPU; make one for each"),
        }
    }

    fn upload(plan: &TilePlan, device: &CudaDevice) -> Result<Self> {
        let queries = plan.query_codes().chunks(plan.queries().max(1)).flat_map(|codes| {
            let codes = codes
                .iter()
                .map(|code| [code.limit, if code.group < 0 { NO_GROUP } else { code.group }]);
            padded(codes, plan.query_tiles(), [-1, NO_GROUP])
        });
        let keys = plan.key_codes().chunks(plan.keys().max(1)).flat_map(|codes| {
            let codes = codes.iter().map(|code| [code.time, code.group.max(-1)]);
            padded(codes, plan.key_tiles(), [i32::MAX, -1])
        });
        let seats = plan
            .seats()
            .iter()
            .flat_map(|seat| [seat.start as i32, seat.len() as i32]);
        let seats: Vec<i32> = seats.collect();
        Ok(Self {
            location: device.location(),
            rows: DeviceCsr::new(plan.rows(), device)?,
            cols: DeviceCsr::new(plan.cols(), device)?,
            row_pairs: DeviceCsr::new(&pairs(plan.rows(), plan.query_tiles()), device)?,
            col_pairs: DeviceCsr::new(&pairs(plan.cols(), plan.key_tiles()), device)?,
            queries: codes(queries.collect(), plan.sequences() * plan.query_tiles(), device)?,
            keys: codes(keys.collect(), plan.sequences() * plan.key_tiles(), device)?,
            seats: match seats.as_slice() {
                [] => None,
                some => Some(device.clone_htod(some)?),
            },
        })
    }

    pub(super) fn walk(&self, walk: Walk, device: &CudaDevice) -> PlanAt {
        let lists = match walk {
            Walk::Rows => &self.rows,
            Walk::Cols => &self.cols,
            Walk::RowPairs => &self.row_pairs,
            Walk::ColPairs => &self.col_pairs,
        };
        let stream = device.cuda_stream();
        PlanAt {
            offsets: lists.offsets.device_ptr(&stream).0,
            entries: lists.entries.device_ptr(&stream).0,
            queries: self.queries.device_ptr(&stream).0,
            keys: self.keys.device_ptr(&stream).0,
            seats: self.seats.as_ref().map_or(0, |seats| seats.device_ptr(&stream).0),
        }
    }
}

/// The codes of so many tiles. Where a plan has none everything is allowed: time and limit 0, for which no memory need
/// travel.
fn codes(codes: Vec<i32>, tiles: usize, device: &CudaDevice) -> Result<CudaSlice<i32>> {
    if codes.is_empty() && tiles > 0 {
        return device.alloc_zeros(2 * TILE * tiles);
    }
    device.clone_htod(&codes)
}

/// Codes of a sequence, filled up to whole tiles.
fn padded(codes: impl Iterator<Item = [i32; 2]>, tiles: usize, padding: [i32; 2]) -> impl Iterator<Item = i32> {
    codes.chain(std::iter::repeat(padding)).take(tiles * TILE).flatten()
}

/// The union of the lists of tiles 2i and 2i + 1 of a sequence, which has `tiles` of them, in ascending order.
fn pairs(lists: &Csr, tiles: usize) -> Csr {
    let mut pairs = Csr {
        offsets: vec![0],
        entries: Vec::new(),
    };
    for sequence in 0..(lists.offsets.len() - 1).checked_div(tiles).unwrap_or(0) {
        for first in (0..tiles).step_by(2) {
            let row = |tile: usize| {
                if tile < tiles {
                    lists.row(sequence * tiles + tile)
                } else {
                    &[]
                }
            };
            let (mut a, mut b) = (row(first), row(first + 1));
            while let Some(tile) = a
                .first()
                .into_iter()
                .chain(b.first())
                .map(|&entry| split(entry).0)
                .min()
            {
                let modes = take(&mut a, tile) << 2 | take(&mut b, tile);
                pairs.entries.push((tile as u32) << 4 | modes);
            }
            pairs.offsets.push(pairs.entries.len() as u32);
        }
    }
    pairs
}

/// The mode of `tile`, taken off the front of a row if it is there.
fn take(row: &mut &[u32], tile: usize) -> u32 {
    match row.split_first() {
        Some((&entry, rest)) if split(entry).0 == tile => {
            *row = rest;
            if split(entry).1 { 2 } else { 1 }
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{KeyCode, QueryCode, Visibility};

    #[test]
    fn pairs_are_the_union_of_two_lists() {
        let code = |time| KeyCode { time, group: -1 };
        let limit = |limit| QueryCode { limit, group: -1 };
        let sequence = Visibility {
            queries: (0..3 * 64).map(limit).collect(),
            keys: (0..3 * 64).map(code).collect(),
        };
        let plan = TilePlan::new(&[sequence]).unwrap();
        let rows = pairs(plan.rows(), plan.query_tiles());
        assert_eq!(rows.offsets, [0, 2, 5]);
        assert_eq!(
            rows.entries,
            [0b1001, 1 << 4 | 0b0010, 0b0100, 1 << 4 | 0b0100, 2 << 4 | 0b1000]
        );
        let cols = pairs(plan.cols(), plan.key_tiles());
        assert_eq!(cols.offsets, [0, 3, 4]);
        assert_eq!(
            cols.entries,
            [0b1000, 1 << 4 | 0b0110, 2 << 4 | 0b0101, 2 << 4 | 0b1000]
        );
    }
}
