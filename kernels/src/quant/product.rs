//! All rows times all panels.

#![allow(unsafe_code)]

use super::activation::Activation;
use super::format::{Format, Line};
use super::tile::{Isa, LANES, tile};
use crate::team::Team;
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

/// `[rows, outputs]` from rows of `blocks` blocks and panels of as many. Threads share the panels, so they cannot change a sum.
pub(super) fn product(
    isa: Isa,
    format: Format,
    x: &[Activation],
    panels: &[Line],
    blocks: usize,
    outputs: usize,
) -> Vec<f32> {
    let mut out = vec![0.0; x.len() / blocks * outputs];
    let all = match (format.bits, format.mins) {
        (4, false) => all::<4, false>,
        (4, true) => all::<4, true>,
        (5, false) => all::<5, false>,
        (5, true) => all::<5, true>,
        _ => all::<8, false>,
    };
    all(&mut out, isa, x, panels, blocks);
    out
}

fn all<const BITS: usize, const MINS: bool>(
    out: &mut [f32],
    isa: Isa,
    x: &[Activation],
    panels: &[Line],
    blocks: usize,
) {
    let rows = x.len() / blocks;
    let columns = Columns {
        start: out.as_mut_ptr(),
        rows,
        outputs: out.len() / rows.max(1),
    };
    let lines = blocks * const { Format::new(BITS, MINS).lines() };
    assert_eq!(
        columns.outputs.div_ceil(LANES) * lines,
        panels.len(),
        "panels of a product"
    );
    let run = |index: usize| {
        let panel = &panels[index * lines..][..lines];
        let mut first = 0;
        while first < rows {
            let group = Rows { x, first, blocks };
            let passes = (rows - first).div_ceil(isa.rows());
            first += match (rows - first).div_ceil(passes) {
                1 => strip::<BITS, MINS, 1>(isa, panel, group, columns, index),
                2 => strip::<BITS, MINS, 2>(isa, panel, group, columns, index),
                3 => strip::<BITS, MINS, 3>(isa, panel, group, columns, index),
                4 => strip::<BITS, MINS, 4>(isa, panel, group, columns, index),
                5 => strip::<BITS, MINS, 5>(isa, panel, group, columns, index),
                _ => strip::<BITS, MINS, 6>(isa, panel, group, columns, index),
            };
        }
    };
    let count = panels.len() / lines;
    if rows * count * blocks < isa.alone() {
        (0..count).for_each(run);
    } else {
        (0..count).into_par_iter().for_each(run);
    }
}

/// [`product`] of one row by a team.
pub(super) fn row(team: &mut Team, isa: Isa, format: Format, x: &[Activation], panels: &[Line], out: &mut [f32]) {
    let row = match (format.bits, format.mins) {
        (4, false) => row_of::<4, false>,
        (4, true) => row_of::<4, true>,
        (5, false) => row_of::<5, false>,
        (5, true) => row_of::<5, true>,
        _ => row_of::<8, false>,
    };
    row(team, isa, x, panels, out);
}

/// Tasks for each thread: who is late finds less to do.
const TASKS: usize = 4;

fn row_of<const BITS: usize, const MINS: bool>(
    team: &mut Team,
    isa: Isa,
    x: &[Activation],
    panels: &[Line],
    out: &mut [f32],
) {
    let lines = x.len() * const { Format::new(BITS, MINS).lines() };
    let count = out.len().div_ceil(LANES);
    assert_eq!(count * lines, panels.len(), "panels of a product");
    let each = count.div_ceil(TASKS * team.threads());
    team.each_chunk(out, each * LANES, |task, out| {
        let panels = panels[task * each * lines..].chunks(lines);
        for (out, panel) in out.chunks_mut(LANES).zip(panels) {
            let [values] = tile::<BITS, MINS, 1>(isa, panel, [x]);
            out.copy_from_slice(&values[..out.len()]);
        }
    });
}

/// Rows of blocks, from `first` on.
#[derive(Clone, Copy)]
struct Rows<'a> {
    x: &'a [Activation],
    first: usize,
    blocks: usize,
}

/// R rows; returns R.
fn strip<const BITS: usize, const MINS: bool, const R: usize>(
    isa: Isa,
    panel: &[Line],
    Rows { x, first, blocks }: Rows<'_>,
    columns: Columns,
    index: usize,
) -> usize {
    let rows = std::array::from_fn(|r| &x[(first + r) * blocks..][..blocks]);
    for (r, values) in tile::<BITS, MINS, R>(isa, panel, rows).iter().enumerate() {
        columns.write(first + r, index, values);
    }
    R
}

#[cfg(test)]
mod tests {
    use super::super::activation::quantize;
    use super::super::panel::{pack, unpack};
    use super::*;
    use candle_core::Device;
    use candle_core::quantized::{GgmlDType, QStorage, QTensor};
    use std::borrow::Cow;

    const DTYPES: [GgmlDType; 5] = [
        GgmlDType::Q8_0,
        GgmlDType::Q4_0,
        GgmlDType::Q4_1,
        GgmlDType::Q5_0,
        GgmlDType::Q5_1,
    ];

    /// Stored rows with all byte values, some scales negative and some zero.
    fn stored(format: Format, outputs: usize, blocks: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for block in 0..outputs * blocks {
            let scale = half::f16::from_f32((block % 7) as f32 * 0.01 - 0.02);
            bytes.extend(scale.to_le_bytes());
            if format.mins {
                bytes.extend(half::f16::from_f32((block % 5) as f32 * 0.1 - 0.3).to_le_bytes());
            }
            let rest = format.stored() - format.stored_high();
            bytes.extend((0..rest).map(|i| (block * 89 + i * 41) as u8));
        }
        bytes
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits_and_agrees_with_the_twin() {
        let sizes = [(1, 1, 1), (2, 31, 2), (3, 32, 3), (5, 33, 1), (7, 70, 24), (13, 64, 2)];
        for (format, (rows, outputs, blocks)) in Format::ALL
            .into_iter()
            .flat_map(|format| sizes.map(|size| (format, size)))
        {
            let inputs = 32 * blocks;
            let panels = pack(format, &stored(format, outputs, blocks), outputs, inputs).unwrap();
            let x: Vec<f32> = (0..rows * inputs)
                .map(|i| ((i * 37 % 1013) as f32 * 0.01).sin())
                .collect();
            let weights = unpack(format, &panels, outputs, inputs);
            let weights: Vec<f64> = weights.iter().map(|&w| f64::from(w)).collect();
            let numbers: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            let want = crate::naive::quantized_product(&numbers, &weights, inputs);
            let x = quantize(&x, inputs);
            let mut bits: Option<Vec<u32>> = None;
            for isa in Isa::available() {
                let got = product(isa, format, &x, &panels, blocks, outputs);
                let doubles: Vec<f64> = got.iter().map(|&y| f64::from(y)).collect();
                // An input that lies between two steps may be rounded either way.
                drdiff_testkit::assert_close_within(&format!("{format:?} {isa:?}"), &doubles, &want, 1e-4);
                let got: Vec<u32> = got.iter().map(|y| y.to_bits()).collect();
                assert_eq!(bits.get_or_insert(got.clone()), &got, "{format:?} {isa:?}");
            }
        }
    }

    #[test]
    fn packing_keeps_every_weight() {
        let (outputs, blocks) = (33, 2);
        for (format, dtype) in Format::ALL.into_iter().zip(DTYPES) {
            let bytes = stored(format, outputs, blocks);
            let numbers = unpack(format, &pack(format, &bytes, outputs, 64).unwrap(), outputs, 64);
            let storage = QStorage::from_data(Cow::Borrowed(&bytes), &Device::Cpu, dtype).unwrap();
            let tensor = QTensor::new(storage, (outputs, 64))
                .unwrap()
                .dequantize(&Device::Cpu)
                .unwrap();
            assert_eq!(
                numbers,
                tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
                "{dtype:?}"
            );
        }
    }

    #[test]
    fn threads_cannot_change_a_bit() {
        for format in Format::ALL {
            let panels = pack(format, &stored(format, 200, 4), 200, 128).unwrap();
            let x: Vec<f32> = (0..9 * 128).map(|i| (i as f32).cos()).collect();
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| product(Isa::best(), format, &quantize(&x, 128), &panels, 4, 200))
            };
            assert_eq!(run(1), run(3));
        }
    }
}
