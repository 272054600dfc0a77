//! The innermost loops for processors of the x86 family.
//!
//! Blocks that this module is given are those of `Format::new(BITS, MINS)`.

use super::{Activation, Format, GROUPS, LANES, Line};
use std::arch::x86_64::*;

fn four(x: [i8; 4]) -> i32 {
    i32::from_ne_bytes(x.map(|x| x as u8))
}

/// Four inputs of 16 outputs; `half` says which.
#[target_feature(enable = "avx512f,avx512bw")]
fn codes_512<const BITS: usize>(block: &[Line], group: usize, half: usize) -> __m512i {
    // SAFETY: lines of 64 bytes, aligned to as many; the caller's block has them all (`Format::lines`).
    let line = |index: usize| unsafe { _mm512_load_si512((&raw const block[index]).cast()) };
    if BITS == 8 {
        return line(2 * group + half);
    }
    let pair = line(2 * (group % 4) + half);
    let pair = if group < 4 { pair } else { _mm512_srli_epi16::<4>(pair) };
    let low = _mm512_and_si512(pair, _mm512_set1_epi8(0xF));
    if BITS == 4 {
        return low;
    }
    let high = line(const { Format::new(BITS, false).high() } + half);
    let high = match group {
        0 => _mm512_slli_epi16::<4>(high),
        1 => _mm512_slli_epi16::<3>(high),
        2 => _mm512_slli_epi16::<2>(high),
        3 => _mm512_slli_epi16::<1>(high),
        4 => high,
        5 => _mm512_srli_epi16::<1>(high),
        6 => _mm512_srli_epi16::<2>(high),
        _ => _mm512_srli_epi16::<3>(high),
    };
    _mm512_or_si512(low, _mm512_and_si512(high, _mm512_set1_epi8(0x10)))
}

/// 16 of the numbers in a line of f16.
#[target_feature(enable = "avx512f")]
fn factors_512(line: &Line, half: usize) -> __m512 {
    // SAFETY: 32 of 64 bytes, aligned to 32.
    _mm512_cvtph_ps(unsafe { _mm256_load_si256((&raw const line.0).cast::<__m256i>().add(half)) })
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn avx512_vnni<const BITS: usize, const MINS: bool, const R: usize>(
    panel: &[Line],
    rows: [&[Activation]; R],
) -> [[f32; LANES]; R] {
    let format = const { Format::new(BITS, MINS) };
    let rows = rows.map(|row| &row[..panel.len() / format.lines()]);
    let mut sums = [[_mm512_setzero_ps(); 2]; R];
    for (index, block) in panel.chunks_exact(format.lines()).enumerate() {
        let mut dots = [[_mm512_setzero_si512(); 2]; R];
        for r in 0..R {
            dots[r] = [_mm512_set1_epi32(-format.zero() * rows[r][index].sum); 2];
        }
        for group in 0..GROUPS {
            let weights = [0, 1].map(|half| codes_512::<BITS>(block, group, half));
            for r in 0..R {
                let x = _mm512_set1_epi32(four(rows[r][index].q[group]));
                for half in 0..2 {
                    dots[r][half] = _mm512_dpbusd_epi32(dots[r][half], weights[half], x);
                }
            }
        }
        for half in 0..2 {
            let scales = factors_512(&block[format.scales()], half);
            for r in 0..R {
                let by = _mm512_mul_ps(_mm512_set1_ps(rows[r][index].scale), scales);
                let part = _mm512_mul_ps(_mm512_cvtepi32_ps(dots[r][half]), by);
                sums[r][half] = _mm512_add_ps(sums[r][half], part);
            }
            if MINS {
                let smallest = factors_512(&block[format.smallest()], half);
                for r in 0..R {
                    let Activation { scale, sum, .. } = rows[r][index];
                    let part = _mm512_mul_ps(smallest, _mm512_set1_ps(scale * sum as f32));
                    sums[r][half] = _mm512_add_ps(sums[r][half], part);
                }
            }
        }
    }
    let mut out = [[0.0; LANES]; R];
    for (out, sums) in out.iter_mut().zip(sums) {
        for (out, sum) in out.as_chunks_mut::<16>().0.iter_mut().zip(sums) {
            // SAFETY: 16 numbers.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr(), sum) };
        }
    }
    out
}

/// Four inputs of 8 outputs; `quarter` says which.
#[target_feature(enable = "avx2")]
fn codes_256<const BITS: usize>(block: &[Line], group: usize, quarter: usize) -> __m256i {
    let line = |index: usize| {
        let start = (&raw const block[index + quarter / 2]).cast::<__m256i>();
        // SAFETY: half of a line of 64 bytes, aligned to 32; the caller's block has them all (`Format::lines`).
        unsafe { _mm256_load_si256(start.add(quarter % 2)) }
    };
    if BITS == 8 {
        return line(2 * group);
    }
    let pair = line(2 * (group % 4));
    let pair = if group < 4 { pair } else { _mm256_srli_epi16::<4>(pair) };
    let low = _mm256_and_si256(pair, _mm256_set1_epi8(0xF));
    if BITS == 4 {
        return low;
    }
    let high = line(const { Format::new(BITS, false).high() });
    let high = match group {
        0 => _mm256_slli_epi16::<4>(high),
        1 => _mm256_slli_epi16::<3>(high),
        2 => _mm256_slli_epi16::<2>(high),
        3 => _mm256_slli_epi16::<1>(high),
        4 => high,
        5 => _mm256_srli_epi16::<1>(high),
        6 => _mm256_srli_epi16::<2>(high),
        _ => _mm256_srli_epi16::<3>(high),
    };
    _mm256_or_si256(low, _mm256_and_si256(high, _mm256_set1_epi8(0x10)))
}

/// 8 of the numbers in a line of f16.
#[target_feature(enable = "avx2,f16c")]
fn factors_256(line: &Line, quarter: usize) -> __m256 {
    // SAFETY: 16 of 64 bytes, aligned to 16.
    _mm256_cvtph_ps(unsafe { _mm_load_si128((&raw const line.0).cast::<__m128i>().add(quarter)) })
}

/// The loops in 256 bits: a quarter of the panel at a time, so that all sums stay in 16 registers.
macro_rules! quarters {
    ($name:ident, $features:literal, $first:expr, $dot:expr) => {
        #[target_feature(enable = $features)]
        pub(super) fn $name<const BITS: usize, const MINS: bool, const R: usize>(
            panel: &[Line],
            rows: [&[Activation]; R],
        ) -> [[f32; LANES]; R] {
            let format = const { Format::new(BITS, MINS) };
            let rows = rows.map(|row| &row[..panel.len() / format.lines()]);
            let mut out = [[0.0; LANES]; R];
            for quarter in 0..4 {
                let mut sums = [_mm256_setzero_ps(); R];
                for (index, block) in panel.chunks_exact(format.lines()).enumerate() {
                    let mut dots = [_mm256_setzero_si256(); R];
                    for r in 0..R {
                        dots[r] = _mm256_set1_epi32($first(BITS, -format.zero() * rows[r][index].sum));
                    }
                    for group in 0..GROUPS {
                        let weights = codes_256::<BITS>(block, group, quarter);
                        for r in 0..R {
                            let x = _mm256_set1_epi32(four(rows[r][index].q[group]));
                            dots[r] = $dot(BITS, dots[r], weights, x);
                        }
                    }
                    let scales = factors_256(&block[format.scales()], quarter);
                    for r in 0..R {
                        let by = _mm256_mul_ps(_mm256_set1_ps(rows[r][index].scale), scales);
                        sums[r] = _mm256_add_ps(sums[r], _mm256_mul_ps(_mm256_cvtepi32_ps(dots[r]), by));
                    }
                    if MINS {
                        let smallest = factors_256(&block[format.smallest()], quarter);
                        for r in 0..R {
                            let Activation { scale, sum, .. } = rows[r][index];
                            let part = _mm256_mul_ps(smallest, _mm256_set1_ps(scale * sum as f32));
                            sums[r] = _mm256_add_ps(sums[r], part);
                        }
                    }
                }
                for (out, sum) in out.iter_mut().zip(sums) {
                    // SAFETY: the quarter's 8 numbers.
                    unsafe { _mm256_storeu_ps(out[8 * quarter..][..8].as_mut_ptr(), sum) };
                }
            }
            out
        }
    };
}

quarters!(avx_vnni, "avx2,f16c,avxvnni", |_, first| first, |_, dot, weights, x| {
    _mm256_dpbusd_avx_epi32(dot, weights, x)
});
quarters!(
    avx2,
    "avx2,f16c",
    |bits, first| if bits == 8 { 0 } else { first },
    |bits, dot, weights, x| {
        // Pairs of products must stay within 16 bits. Of 5 bits they do; those of 8 bits do as |w| * (x with w's sign),
        // below 2 * 128 * 127, which w + 128 would not.
        let pairs = if bits == 8 {
            let weights = _mm256_xor_si256(weights, _mm256_set1_epi8(-128));
            _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights))
        } else {
            _mm256_maddubs_epi16(weights, x)
        };
        _mm256_add_epi32(dot, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    }
);
