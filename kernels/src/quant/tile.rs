//! The innermost loops: some input rows times one panel of weights.
//!
//! Integer dots are exact, and blocks are summed in order without fused multiply-adds, so every instruction set gives
//! the same bits.

#![allow(unsafe_code)]

use super::activation::Activation;
use super::panel::Block;

/// Outputs of a panel.
pub(super) const LANES: usize = 32;
/// Groups of four inputs in a block.
pub(super) const GROUPS: usize = super::BLOCK / 4;

/// The instruction sets that have their own loops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isa {
    /// Dot products of bytes in 512 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// Dot products of bytes in 256 bits.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// Products of bytes in 256 bits.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Plain loops, which compilers turn into what they know.
    Portable,
}

impl Isa {
    /// All that this processor has, best first.
    pub(super) fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vnni") {
                found.push(Self::Avx512Vnni);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni") {
                found.push(Self::AvxVnni);
            }
            if is_x86_feature_detected!("avx2") {
                found.push(Self::Avx2);
            }
        }
        found.push(Self::Portable);
        found
    }

    /// The best that this processor has.
    pub(super) fn best() -> Self {
        Self::available().first().copied().unwrap_or(Self::Portable)
    }

    /// Rows times blocks below which other threads cost more than they do: some twenty microseconds of work.
    pub(super) fn alone(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => 8192,
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => 2048,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 512,
            Self::Portable => 128,
        }
    }

    /// Input rows that share a pass over a panel: as many sums as there are registers for.
    pub(super) fn rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => 6,
            _ => 4,
        }
    }
}

/// `out[r][lane]`: input row r times output `lane` of the panel. All slices have one length; `isa` must be available.
pub(super) fn tile<const R: usize>(isa: Isa, panel: &[Block], rows: [&[Activation]; R]) -> [[f32; LANES]; R] {
    match isa {
        // SAFETY (all three): `Isa::available` gives only what the processor has.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni => unsafe { x86::avx512_vnni(panel, rows) },
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni => unsafe { x86::avx_vnni(panel, rows) },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { x86::avx2(panel, rows) },
        Isa::Portable => portable(panel, rows),
    }
}

fn portable<const R: usize>(panel: &[Block], rows: [&[Activation]; R]) -> [[f32; LANES]; R] {
    rows.map(|row| {
        let mut sums = [0.0f32; LANES];
        for (block, x) in panel.iter().zip(row) {
            let mut dots = [x.correction; LANES];
            for (group, x) in block.groups.iter().zip(&x.q) {
                for (dot, weights) in dots.iter_mut().zip(group.as_chunks::<4>().0) {
                    for (&weight, &x) in weights.iter().zip(x) {
                        *dot += i32::from(weight) * i32::from(x);
                    }
                }
            }
            for ((sum, dot), scale) in sums.iter_mut().zip(dots).zip(block.scales) {
                *sum += dot as f32 * (x.scale * scale);
            }
        }
        sums
    })
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Activation, Block, GROUPS, LANES};
    use std::arch::x86_64::*;

    fn four(x: [i8; 4]) -> i32 {
        i32::from_ne_bytes(x.map(|x| x as u8))
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn avx512_vnni<const R: usize>(panel: &[Block], rows: [&[Activation]; R]) -> [[f32; LANES]; R] {
        let rows = rows.map(|row| &row[..panel.len()]);
        let mut sums = [[_mm512_setzero_ps(); 2]; R];
        for (index, block) in panel.iter().enumerate() {
            let mut dots = [[_mm512_setzero_si512(); 2]; R];
            for r in 0..R {
                dots[r] = [_mm512_set1_epi32(rows[r][index].correction); 2];
            }
            for group in 0..GROUPS {
                // SAFETY: a group holds 128 bytes and is aligned to 64.
                let weights = unsafe {
                    let start = (&raw const block.groups[group]).cast::<__m512i>();
                    [_mm512_load_si512(start), _mm512_load_si512(start.add(1))]
                };
                for r in 0..R {
                    let x = _mm512_set1_epi32(four(rows[r][index].q[group]));
                    for half in 0..2 {
                        dots[r][half] = _mm512_dpbusd_epi32(dots[r][half], weights[half], x);
                    }
                }
            }
            // SAFETY: 32 scales, aligned to 64.
            let scales = unsafe {
                let start = (&raw const block.scales).cast::<f32>();
                [_mm512_load_ps(start), _mm512_load_ps(start.add(16))]
            };
            for r in 0..R {
                let scale = _mm512_set1_ps(rows[r][index].scale);
                for half in 0..2 {
                    let by = _mm512_mul_ps(scale, scales[half]);
                    let part = _mm512_mul_ps(_mm512_cvtepi32_ps(dots[r][half]), by);
                    sums[r][half] = _mm512_add_ps(sums[r][half], part);
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

    /// The loops in 256 bits: a quarter of the panel at a time, so that all sums stay in 16 registers.
    macro_rules! quarters {
        ($name:ident, $features:literal, $first:expr, $dot:expr) => {
            #[target_feature(enable = $features)]
            pub(super) fn $name<const R: usize>(panel: &[Block], rows: [&[Activation]; R]) -> [[f32; LANES]; R] {
                let rows = rows.map(|row| &row[..panel.len()]);
                let mut out = [[0.0; LANES]; R];
                for quarter in 0..4 {
                    let mut sums = [_mm256_setzero_ps(); R];
                    for (index, block) in panel.iter().enumerate() {
                        let mut dots = [_mm256_setzero_si256(); R];
                        for r in 0..R {
                            dots[r] = $first(&rows[r][index]);
                        }
                        for group in 0..GROUPS {
                            // SAFETY: a group holds 4 times 32 bytes and is aligned to 64.
                            let weights = unsafe {
                                let start = (&raw const block.groups[group]).cast::<__m256i>();
                                _mm256_load_si256(start.add(quarter))
                            };
                            for r in 0..R {
                                let x = _mm256_set1_epi32(four(rows[r][index].q[group]));
                                dots[r] = $dot(dots[r], weights, x);
                            }
                        }
                        // SAFETY: 4 times 8 scales, aligned to 64.
                        let scales =
                            unsafe { _mm256_load_ps((&raw const block.scales).cast::<f32>().add(8 * quarter)) };
                        for r in 0..R {
                            let by = _mm256_mul_ps(_mm256_set1_ps(rows[r][index].scale), scales);
                            sums[r] = _mm256_add_ps(sums[r], _mm256_mul_ps(_mm256_cvtepi32_ps(dots[r]), by));
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

    quarters!(
        avx_vnni,
        "avx2,avxvnni",
        |x: &Activation| _mm256_set1_epi32(x.correction),
        |dot, weights, x| _mm256_dpbusd_avx_epi32(dot, weights, x)
    );
    quarters!(
        avx2,
        "avx2",
        |_: &Activation| _mm256_setzero_si256(),
        |dot, weights, x| {
            // Pairs of |w| * (x with w's sign) stay below 2 * 128 * 127 and so within 16 bits; w + 128 would not.
            let weights = _mm256_xor_si256(weights, _mm256_set1_epi8(-128));
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights));
            _mm256_add_epi32(dot, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    );
}
