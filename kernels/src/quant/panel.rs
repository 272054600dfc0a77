//! Weights in panels of [`LANES`] outputs, four inputs of each output side by side.

use super::BLOCK;
use super::tile::{GROUPS, LANES};
use half::f16;
use rayon::prelude::*;

/// [`BLOCK`] inputs of [`LANES`] outputs.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Block {
    /// Weights plus 128: `groups[i][4 * lane + j]` belongs to input `4 * i + j`.
    pub(super) groups: [[u8; 4 * LANES]; GROUPS],
    pub(super) scales: [f32; LANES],
}

/// Bytes of a GGML block: an f16 scale and 32 numbers.
const STORED: usize = 2 + BLOCK;

const ZERO: Block = Block {
    groups: [[128; 4 * LANES]; GROUPS],
    scales: [0.0; LANES],
};

/// Panel after panel, `inputs / BLOCK` blocks each, from `outputs` rows of `Q8_0` blocks; outputs beyond the last are
/// zeros.
pub(super) fn pack(stored: &[u8], outputs: usize, inputs: usize) -> Vec<Block> {
    let blocks = inputs / BLOCK;
    let mut panels = vec![ZERO; outputs.div_ceil(LANES) * blocks];
    panels
        .par_chunks_mut(blocks.max(1))
        .zip(stored.par_chunks((LANES * blocks * STORED).max(1)))
        .for_each(|(panel, rows)| {
            for (lane, row) in rows.chunks(blocks * STORED).enumerate() {
                for (block, stored) in panel.iter_mut().zip(row.as_chunks::<STORED>().0) {
                    block.scales[lane] = f16::from_le_bytes([stored[0], stored[1]]).to_f32();
                    for (group, four) in block.groups.iter_mut().zip(stored[2..].as_chunks::<4>().0) {
                        // Flipping the highest bit adds 128.
                        group.as_chunks_mut::<4>().0[lane] = four.map(|byte| byte ^ 0x80);
                    }
                }
            }
        });
    panels
}

/// The weights as `[outputs, inputs]` numbers.
pub(super) fn unpack(panels: &[Block], outputs: usize, inputs: usize) -> Vec<f32> {
    let mut out = vec![0.0; outputs * inputs];
    out.par_chunks_mut(inputs.max(1))
        .enumerate()
        .for_each(|(output, row)| unpack_row(panels, output, row));
    out
}

/// The weights of some outputs, `[ids.len(), inputs]`.
pub(super) fn unpack_rows(panels: &[Block], ids: &[u32], inputs: usize) -> Vec<f32> {
    let mut out = vec![0.0; ids.len() * inputs];
    for (id, row) in ids.iter().zip(out.chunks_mut(inputs.max(1))) {
        unpack_row(panels, *id as usize, row);
    }
    out
}

/// The weights of one output.
fn unpack_row(panels: &[Block], output: usize, row: &mut [f32]) {
    let (blocks, lane) = (row.len() / BLOCK, output % LANES);
    let panel = &panels[output / LANES * blocks..];
    for (block, numbers) in panel.iter().zip(row.chunks_mut(BLOCK)) {
        for (group, four) in block.groups.iter().zip(numbers.chunks_mut(4)) {
            for (number, &byte) in four.iter_mut().zip(&group[4 * lane..]) {
                *number = (f32::from(byte) - 128.0) * block.scales[lane];
            }
        }
    }
}
