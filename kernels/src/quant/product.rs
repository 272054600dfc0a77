//! All rows times all panels.

#![allow(unsafe_code)]

use super::activation::Activation;
use super::panel::Block;
use super::tile::{Isa, LANES, tile};
use rayon::prelude::*;

/// The output while several threads write disjoint columns of it.
#[derive(Clone, Copy)]
struct Columns {
    start: *mut f32,
    rows: usize,
    outputs: usize,
}

// SAFETY: each panel is written by one task only, and panels are disjoint columns.
unsafe impl Send for Columns {}
// SAFETY: as above.
unsafe impl Sync for Columns {}

impl Columns {
    fn write(self, row: usize, panel: usize, values: &[f32; LANES]) {
        let first = panel * LANES;
        let count = LANES.min(self.outputs - first);
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: inside the output, and no other task writes these columns.
        unsafe {
            let to = self.start.add(row * self.outputs + first);
            std::ptr::copy_nonoverlapping(values.as_ptr(), to, count);
        }
    }
}

/// `[rows, outputs]` from `blocks` blocks a row and a panel. Threads share the panels, so they cannot change a sum.
pub(super) fn product(isa: Isa, x: &[Activation], panels: &[Block], blocks: usize, outputs: usize) -> Vec<f32> {
    let rows = x.len() / blocks;
    let mut out = vec![0.0; rows * outputs];
    let columns = Columns {
        start: out.as_mut_ptr(),
        rows,
        outputs,
    };
    let run = |(index, panel): (usize, &[Block])| {
        let mut first = 0;
        while first < rows {
            let group = &x[first * blocks..];
            let passes = (rows - first).div_ceil(isa.rows());
            first += match (rows - first).div_ceil(passes) {
                1 => strip::<1>(isa, panel, group, columns, first, index),
                2 => strip::<2>(isa, panel, group, columns, first, index),
                3 => strip::<3>(isa, panel, group, columns, first, index),
                4 => strip::<4>(isa, panel, group, columns, first, index),
                5 => strip::<5>(isa, panel, group, columns, first, index),
                _ => strip::<6>(isa, panel, group, columns, first, index),
            };
        }
    };
    if rows * panels.len() < isa.alone() {
        panels.chunks(blocks).enumerate().for_each(run);
    } else {
        panels.par_chunks(blocks).enumerate().for_each(run);
    }
    out
}

/// R rows from `first` on; returns R.
fn strip<const R: usize>(
    isa: Isa,
    panel: &[Block],
    group: &[Activation],
    columns: Columns,
    first: usize,
    index: usize,
) -> usize {
    let blocks = panel.len();
    let rows = std::array::from_fn(|r| &group[r * blocks..][..blocks]);
    for (r, values) in tile::<R>(isa, panel, rows).iter().enumerate() {
        columns.write(first + r, index, values);
    }
    R
}

#[cfg(test)]
mod tests {
    use super::super::activation::quantize;
    use super::super::panel::{pack, unpack};
    use super::*;

    /// `Q8_0` rows with all byte values, some scales negative and some zero.
    fn stored(outputs: usize, blocks: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for block in 0..outputs * blocks {
            let scale = half::f16::from_f32((block % 7) as f32 * 0.01 - 0.02);
            bytes.extend(scale.to_le_bytes());
            bytes.extend((0..32).map(|i| (block * 89 + i * 41) as u8));
        }
        bytes
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits_and_agrees_with_the_twin() {
        for (rows, outputs, blocks) in [(1, 1, 1), (2, 31, 2), (3, 32, 3), (5, 33, 1), (7, 70, 24), (13, 64, 2)] {
            let inputs = 32 * blocks;
            let panels = pack(&stored(outputs, blocks), outputs, inputs);
            let x: Vec<f32> = (0..rows * inputs)
                .map(|i| ((i * 37 % 1013) as f32 * 0.01).sin())
                .collect();
            let weights: Vec<f64> = unpack(&panels, outputs, inputs).iter().map(|&w| f64::from(w)).collect();
            let numbers: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            let want = crate::naive::quantized_product(&numbers, &weights, inputs);
            let x = quantize(&x, inputs);
            let mut bits: Option<Vec<u32>> = None;
            for isa in Isa::available() {
                let got = product(isa, &x, &panels, blocks, outputs);
                let doubles: Vec<f64> = got.iter().map(|&y| f64::from(y)).collect();
                // An input that lies between two steps may be rounded either way.
                drdiff_testkit::assert_close_within(&format!("{isa:?}"), &doubles, &want, 1e-4);
                let got: Vec<u32> = got.iter().map(|y| y.to_bits()).collect();
                assert_eq!(bits.get_or_insert(got.clone()), &got, "{isa:?}");
            }
        }
    }

    #[test]
    fn packing_keeps_every_weight() {
        let (outputs, blocks) = (33, 2);
        let bytes = stored(outputs, blocks);
        let numbers = unpack(&pack(&bytes, outputs, 64), outputs, 64);
        for (block, numbers) in bytes.chunks(34).zip(numbers.chunks(32)) {
            let scale = half::f16::from_le_bytes([block[0], block[1]]).to_f32();
            for (&byte, &number) in block[2..].iter().zip(numbers) {
                assert_eq!(number, f32::from(byte as i8) * scale);
            }
        }
    }

    #[test]
    fn threads_cannot_change_a_bit() {
        let panels = pack(&stored(200, 4), 200, 128);
        let x: Vec<f32> = (0..9 * 128).map(|i| (i as f32).cos()).collect();
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| product(Isa::available()[0], &quantize(&x, 128), &panels, 4, 200))
        };
        assert_eq!(run(1), run(3));
    }
}
