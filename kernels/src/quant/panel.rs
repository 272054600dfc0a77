//! Weights in panels of [`LANES`] outputs, four inputs of each output side by side.
//!
//! A block holds [`BLOCK`] inputs of [`LANES`] outputs, cut into [`GROUPS`] of four inputs: byte `4 * lane + j` of group `i`
//! belongs to input `4 * i + j`. Groups of numbers of 4 bits share bytes, `i` in the low half and `i + 4` in the high one; bit
//! `i` of the fifth bits is that of group `i`.

use super::BLOCK;
use super::format::{Format, LINE, Line};
use super::lines::Lines;
use super::tile::{GROUPS, LANES};
use half::f16;
use rayon::prelude::*;
use std::io;

/// Bytes of a group.
const GROUP: usize = 4 * LANES;

/// Panel after panel, `inputs / BLOCK` blocks each, from `outputs` rows of stored blocks; outputs beyond the last are
/// zeros.
///
/// # Errors
/// If the system has no memory left.
pub(super) fn pack(format: Format, stored: &[u8], outputs: usize, inputs: usize) -> io::Result<Lines> {
    let (blocks, lines) = (inputs / BLOCK, format.lines());
    let mut panels = Lines::zeros(outputs.div_ceil(LANES) * blocks * lines)?;
    panels
        .par_chunks_mut((blocks * lines).max(1))
        .zip(stored.par_chunks((LANES * blocks * format.stored()).max(1)))
        .for_each(|(panel, rows)| {
            for (lane, row) in rows.chunks(blocks * format.stored()).enumerate() {
                for (block, stored) in panel.chunks_mut(lines).zip(row.chunks(format.stored())) {
                    put(format, block, lane, stored);
                }
            }
        });
    Ok(panels)
}

/// `N` bytes from `at` on, which lie in one line.
fn bytes<const N: usize>(block: &[Line], at: usize) -> [u8; N] {
    std::array::from_fn(|i| block[at / LINE].0[at % LINE + i])
}

/// Where the bytes of a group begin that belong to a lane, and by how many bits their numbers are shifted.
fn place(format: Format, group: usize, lane: usize) -> (usize, usize) {
    let halves = GROUPS / 2;
    match format.bits {
        8 => (group * GROUP + 4 * lane, 0),
        _ => (group % halves * GROUP + 4 * lane, 4 * (group / halves)),
    }
}

/// Puts a stored block into its lane, whose bytes are zeros.
fn put(format: Format, block: &mut [Line], lane: usize, stored: &[u8]) {
    block[format.scales()].0[2 * lane..][..2].copy_from_slice(&stored[..2]);
    if format.mins {
        block[format.smallest()].0[2 * lane..][..2].copy_from_slice(&stored[2..4]);
    }
    let (high, codes) = stored[format.stored_high()..].split_at(if format.bits == 5 { 4 } else { 0 });
    // Flipping the highest bit adds 128. Of 4 bits, GGML too keeps inputs that are 16 apart in one byte.
    let flip = if format.bits == 8 { 0x80 } else { 0 };
    for (group, four) in codes.as_chunks::<4>().0.iter().enumerate() {
        let at = group * GROUP + 4 * lane;
        block[at / LINE].0[at % LINE..][..4].copy_from_slice(&four.map(|byte| byte ^ flip));
    }
    if !high.is_empty() {
        let at = format.high() * LINE + 4 * lane;
        let fifths = high
            .iter()
            .rev()
            .fold(0, |fifths, byte| fifths << 2 | SPREAD[usize::from(*byte)]);
        block[at / LINE].0[at % LINE..][..4].copy_from_slice(&fifths.to_le_bytes());
    }
}

/// Of eight fifth bits, those of the inputs `i` and `i + 4` as the two lowest bits of byte `i`.
static SPREAD: [u32; 256] = {
    let mut spread = [0; 256];
    let mut bits = 0;
    while bits < 256 {
        let mut input = 0;
        while input < 8 {
            spread[bits] |= (bits as u32 >> input & 1) << (8 * (input % 4) + input / 4);
            input += 1;
        }
        bits += 1;
    }
    spread
};

/// The weights as `[outputs, inputs]` numbers.
pub(super) fn unpack(format: Format, panels: &[Line], outputs: usize, inputs: usize) -> Vec<f32> {
    let mut out = vec![0.0; outputs * inputs];
    out.par_chunks_mut(inputs.max(1))
        .enumerate()
        .for_each(|(output, row)| unpack_row(format, panels, output, row));
    out
}

/// The weights of some outputs, `[ids.len(), inputs]`.
pub(super) fn unpack_rows(format: Format, panels: &[Line], ids: &[u32], inputs: usize) -> Vec<f32> {
    let mut out = vec![0.0; ids.len() * inputs];
    for (id, row) in ids.iter().zip(out.chunks_mut(inputs.max(1))) {
        unpack_row(format, panels, *id as usize, row);
    }
    out
}

/// The weights of one output.
fn unpack_row(format: Format, panels: &[Line], output: usize, row: &mut [f32]) {
    let (blocks, lane) = (row.len() / BLOCK, output % LANES);
    let panel = &panels[output / LANES * blocks * format.lines()..];
    for (block, numbers) in panel.chunks(format.lines()).zip(row.chunks_mut(BLOCK)) {
        let (scale, smallest) = factors(format, block, lane);
        for (group, numbers) in numbers.chunks_mut(4).enumerate() {
            let codes = codes(format, block, group, lane);
            for (number, code) in numbers.iter_mut().zip(codes) {
                *number = (i32::from(code) - format.zero()) as f32 * scale + smallest;
            }
        }
    }
}

/// Scale and smallest number of a lane.
pub(super) fn factors(format: Format, block: &[Line], lane: usize) -> (f32, f32) {
    let number = |line: usize| f16::from_le_bytes(bytes(block, line * LINE + 2 * lane)).to_f32();
    let smallest = if format.mins { number(format.smallest()) } else { 0.0 };
    (number(format.scales()), smallest)
}

/// Four weights of a lane, [`Format::zero`] added.
pub(super) fn codes(format: Format, block: &[Line], group: usize, lane: usize) -> [u8; 4] {
    let (at, shift) = place(format, group, lane);
    let codes = bytes::<4>(block, at);
    match format.bits {
        8 => codes,
        4 => codes.map(|byte| byte >> shift & 0xF),
        _ => {
            let high = bytes::<4>(block, format.high() * LINE + 4 * lane);
            std::array::from_fn(|j| codes[j] >> shift & 0xF | (high[j] >> group & 1) << 4)
        }
    }
}
