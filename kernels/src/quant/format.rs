//! How GGML stores blocks of 32 weights, and how they lie here.

use super::BLOCK;
use super::tile::LANES;
use candle_core::quantized::GgmlDType;

/// Numbers of `BITS` bits with one scale a block and, in the formats with `MINS`, one smallest number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) bits: usize,
    pub(super) mins: bool,
}

/// Bytes of a cache line, which every part of a repacked block fills.
pub(super) const LINE: usize = 64;

/// Part of a repacked block.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u8; LINE]);

impl Format {
    pub(super) const fn new(bits: usize, mins: bool) -> Self {
        Self { bits, mins }
    }

    /// That of a tensor; `None` if it is not repacked.
    pub(super) fn of(dtype: GgmlDType) -> Option<Self> {
        match dtype {
            GgmlDType::Q8_0 => Some(Self::new(8, false)),
            GgmlDType::Q4_0 => Some(Self::new(4, false)),
            GgmlDType::Q4_1 => Some(Self::new(4, true)),
            GgmlDType::Q5_0 => Some(Self::new(5, false)),
            GgmlDType::Q5_1 => Some(Self::new(5, true)),
            _ => None,
        }
    }

    /// What is added to a weight of a format without smallest numbers, so that none is negative.
    pub(super) const fn zero(self) -> i32 {
        if self.mins { 0 } else { 1 << (self.bits - 1) }
    }

    /// Bytes of a block as GGML stores it: scale, smallest number, fifth bits, numbers.
    pub(super) const fn stored(self) -> usize {
        self.stored_high() + if self.bits == 5 { 4 } else { 0 } + if self.bits == 8 { BLOCK } else { BLOCK / 2 }
    }

    /// Where in it the fifth bits begin, or the numbers where there are none.
    pub(super) const fn stored_high(self) -> usize {
        if self.mins { 4 } else { 2 }
    }

    /// Lines of the numbers of a repacked block: bytes, or two numbers of 4 bits a byte.
    const fn codes(self) -> usize {
        let bits = if self.bits == 8 { 8 } else { 4 };
        BLOCK * LANES * bits / 8 / LINE
    }

    /// The line at which the fifth bits begin: those of one input in four of [`LANES`] outputs share a byte.
    pub(super) const fn high(self) -> usize {
        self.codes()
    }

    /// The line of the scales, f16.
    pub(super) const fn scales(self) -> usize {
        self.codes() + if self.bits == 5 { 4 * LANES / LINE } else { 0 }
    }

    /// The line of the smallest numbers, f16.
    pub(super) const fn smallest(self) -> usize {
        self.scales() + 1
    }

    /// Lines of a repacked block.
    pub(super) const fn lines(self) -> usize {
        self.scales() + if self.mins { 2 } else { 1 }
    }
}

#[cfg(test)]
impl Format {
    pub(super) const ALL: [Self; 5] = [
        Self::new(8, false),
        Self::new(4, false),
        Self::new(4, true),
        Self::new(5, false),
        Self::new(5, true),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repacked_blocks_take_no_more_room_than_stored_ones() {
        let stored = [
            GgmlDType::Q8_0,
            GgmlDType::Q4_0,
            GgmlDType::Q4_1,
            GgmlDType::Q5_0,
            GgmlDType::Q5_1,
        ];
        for (dtype, format) in stored.into_iter().zip(Format::ALL) {
            assert_eq!(Format::of(dtype), Some(format));
            assert_eq!(format.stored(), dtype.type_size());
            assert_eq!(format.lines() * LINE, LANES * format.stored());
        }
    }
}
