//! The innermost loops: some input rows times one panel of weights.
//!
//! Integer dots are exact, and blocks are summed in order without fused multiply-adds, so every instruction set gives
//! the same bits.

#![allow(unsafe_code)]

use super::activation::Activation;
use super::format::{Format, Line};
use super::panel::{codes, factors};

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
            if is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("f16c")
                && is_x86_feature_detected!("avxvnni")
            {
                found.push(Self::AvxVnni);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c") {
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

/// `out[r][lane]`: input row r times output `lane` of the panel, whose blocks are of `Format::new(BITS, MINS)`. All rows have
/// as many blocks; `isa` must be available.
pub(super) fn tile<const BITS: usize, const MINS: bool, const R: usize>(
    isa: Isa,
    panel: &[Line],
    rows: [&[Activation]; R],
) -> [[f32; LANES]; R] {
    match isa {
        // SAFETY (all three): `Isa::available` gives only what the processor has.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni => unsafe { x86::avx512_vnni::<BITS, MINS, R>(panel, rows) },
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni => unsafe { x86::avx_vnni::<BITS, MINS, R>(panel, rows) },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { x86::avx2::<BITS, MINS, R>(panel, rows) },
        Isa::Portable => portable(Format::new(BITS, MINS), panel, rows),
    }
}

fn portable<const R: usize>(format: Format, panel: &[Line], rows: [&[Activation]; R]) -> [[f32; LANES]; R] {
    rows.map(|row| {
        let mut sums = [0.0f32; LANES];
        for (block, x) in panel.chunks(format.lines()).zip(row) {
            for (lane, sum) in sums.iter_mut().enumerate() {
                let mut dot = -format.zero() * x.sum;
                for (group, x) in x.q.iter().enumerate() {
                    let weights = codes(format, block, group, lane);
                    dot += weights
                        .iter()
                        .zip(x)
                        .map(|(&w, &x)| i32::from(w) * i32::from(x))
                        .sum::<i32>();
                }
                let (scale, smallest) = factors(format, block, lane);
                *sum += dot as f32 * (x.scale * scale);
                if format.mins {
                    *sum += smallest * (x.scale * x.sum as f32);
                }
            }
        }
        sums
    })
}

#[cfg(target_arch = "x86_64")]
mod x86;
