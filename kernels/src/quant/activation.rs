//! Input rows as 8-bit integers.

use super::BLOCK;
use super::tile::GROUPS;
use crate::simd::dispatched;
use rayon::prelude::*;

/// A block of an input row: `x[i]` is about `q[i] * scale`.
#[derive(Clone, Copy)]
pub(super) struct Activation {
    pub(super) q: [[i8; 4]; GROUPS],
    pub(super) scale: f32,
    /// The sum of `q`: what 1 in every weight of the block would contribute.
    pub(super) sum: i32,
}

/// Rows of one task.
const ROWS: usize = 32;

const ZERO: Activation = Activation {
    q: [[0; 4]; GROUPS],
    scale: 0.0,
    sum: 0,
};

/// Rounds rows of `width` numbers, a multiple of [`BLOCK`]; returns `width / BLOCK` blocks for each row.
pub(super) fn quantize(x: &[f32], width: usize) -> Vec<Activation> {
    let mut blocks = vec![ZERO; x.len() / BLOCK];
    let group = ROWS * width;
    if x.len() <= group {
        quantize_rows(&mut blocks, x);
    } else {
        blocks
            .par_chunks_mut(group / BLOCK)
            .zip(x.par_chunks(group))
            .for_each(|(blocks, rows)| quantize_rows(blocks, rows));
    }
    blocks
}

/// A row in blocks.
pub(crate) struct Rounded(pub(super) Vec<Activation>);

/// Rounds one row, a multiple of [`BLOCK`] long.
pub(crate) fn rounded(x: &[f32]) -> Rounded {
    Rounded(quantize(x, x.len()))
}

dispatched!(
    /// Rounds whole rows, one after another.
    quantize_rows(blocks: &mut [Activation], row: &[f32]), quantize_rows_body
);

#[inline(always)]
fn quantize_rows_body(blocks: &mut [Activation], row: &[f32]) {
    // Adding 1.5 * 2^23 rounds to a whole number and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    for (block, x) in blocks.iter_mut().zip(row.as_chunks::<BLOCK>().0) {
        let mut peaks = [0.0f32; BLOCK];
        let mut broken = [0.0f32; BLOCK];
        for i in 0..BLOCK {
            peaks[i] = x[i].abs();
            broken[i] = x[i] * 0.0;
        }
        let mut width = BLOCK / 2;
        while width > 0 {
            for i in 0..width {
                peaks[i] = if peaks[i + width] > peaks[i] {
                    peaks[i + width]
                } else {
                    peaks[i]
                };
                broken[i] += broken[i + width];
            }
            width /= 2;
        }
        // Below this the reciprocal would overflow, and the block counts as zeros.
        let step = if peaks[0] > 1e-30 { 127.0 / peaks[0] } else { 0.0 };
        let mut q = [0i8; BLOCK];
        let mut sum = 0i32;
        for i in 0..BLOCK {
            let whole = (x[i] * step + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i8;
            q[i] = whole;
            sum += i32::from(whole);
        }
        for (group, q) in block.q.iter_mut().zip(q.as_chunks::<4>().0) {
            *group = *q;
        }
        // `broken` is 0, or NaN if a number of the block is infinite or NaN: that must not pass unseen.
        block.scale = peaks[0] / 127.0 + broken[0];
        block.sum = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_rounds_alike_and_within_half_a_step() {
        let row: Vec<f32> = (0..96).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
        let (mut fast, mut plain) = ([ZERO; 3], [ZERO; 3]);
        quantize_rows(&mut fast, &row);
        quantize_rows_body(&mut plain, &row);
        for ((fast, plain), x) in fast.iter().zip(&plain).zip(row.chunks(BLOCK)) {
            assert_eq!(fast.q, plain.q);
            assert_eq!(fast.scale.to_bits(), plain.scale.to_bits());
            let sum: i32 = fast.q.iter().flatten().map(|&q| i32::from(q)).sum();
            assert_eq!(fast.sum, sum);
            for (&x, &q) in x.iter().zip(fast.q.iter().flatten()) {
                assert!((x - f32::from(q) * fast.scale).abs() <= 0.501 * fast.scale);
            }
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut row = [1.0; BLOCK];
            row[17] = bad;
            assert!(quantize(&row, BLOCK)[0].scale.is_nan(), "{bad}");
        }
        assert_eq!(quantize(&[0.0; BLOCK], BLOCK)[0].scale, 0.0);
    }
}
