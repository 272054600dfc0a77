//! The types that tensors of GGUF files have, and what can be read of them.

use candle_core::DType;
use candle_core::quantized::GgmlDType;

/// How the numbers of a tensor lie in a GGUF file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Format {
    /// One after another.
    Plain(DType),
    /// In blocks of a few bits.
    Blocks(&'static Blocks),
}

/// A type whose numbers lie in blocks with scales.
#[derive(Debug, PartialEq)]
pub(super) struct Blocks {
    /// The number of the type in files.
    number: u32,
    /// The type.
    pub(super) kind: GgmlDType,
    /// Where in a block its scales lie, numbers of 16 bits by which whole ones are multiplied.
    scales: &'static [usize],
}

const fn blocks(number: u32, kind: GgmlDType, scales: &'static [usize]) -> Blocks {
    Blocks { number, kind, scales }
}

/// Block types that this program reads, as `ggml-common.h` lays them out.
const BLOCKS: [Blocks; 10] = [
    blocks(2, GgmlDType::Q4_0, &[0]),
    blocks(3, GgmlDType::Q4_1, &[0, 2]),
    blocks(6, GgmlDType::Q5_0, &[0]),
    blocks(7, GgmlDType::Q5_1, &[0, 2]),
    blocks(8, GgmlDType::Q8_0, &[0]),
    blocks(10, GgmlDType::Q2K, &[80, 82]),
    blocks(11, GgmlDType::Q3K, &[108]),
    blocks(12, GgmlDType::Q4K, &[0, 2]),
    blocks(13, GgmlDType::Q5K, &[0, 2]),
    blocks(14, GgmlDType::Q6K, &[208]),
];

/// Names of types that exist and are not read.
const OTHERS: [(u32, &str); 19] = [
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
];

impl Format {
    /// The type with this number in files.
    ///
    /// # Errors
    /// Why it is not read, in words that complete "the tensor …".
    pub(super) fn of(number: u32) -> Result<Self, String> {
        let plain = match number {
            0 => Some(DType::F32),
            1 => Some(DType::F16),
            28 => Some(DType::F64),
            30 => Some(DType::BF16),
            _ => None,
        };
        if let Some(dtype) = plain {
            return Ok(Self::Plain(dtype));
        }
        if let Some(blocks) = BLOCKS.iter().find(|blocks| blocks.number == number) {
            return Ok(Self::Blocks(blocks));
        }
        let name = OTHERS.iter().find(|(other, _)| *other == number).map(|(_, name)| *name);
        Err(match name {
            Some(name) if name.starts_with('I') && !name.starts_with("IQ") => {
                format!("holds whole numbers ({name}), and weights have fractions")
            }
            Some(name) => format!("is of the type {name}, which is not read; convert it to Q8_0, Q4_K or F16"),
            None => format!("is of the unknown type {number}; convert it to Q8_0, Q4_K or F16"),
        })
    }

    /// Numbers of a block, which rows are made of.
    pub(super) fn block(self) -> usize {
        match self {
            Self::Plain(_) => 1,
            Self::Blocks(blocks) => blocks.kind.block_size(),
        }
    }

    /// Bytes of a block.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Plain(dtype) => dtype.size_in_bytes(),
            Self::Blocks(blocks) => blocks.kind.type_size(),
        }
    }
}

impl Blocks {
    /// Whether all numbers are finite, which they are if the scales are.
    pub(super) fn are_finite(&self, bytes: &[u8]) -> bool {
        const EXPONENT: u8 = 0x7c;
        bytes.chunks_exact(self.kind.type_size()).all(|block| {
            // The upper byte of a number of 16 bits; an exponent of ones only means infinity or no number.
            let upper = |scale: &usize| block.get(scale + 1).copied().unwrap_or(EXPONENT);
            self.scales.iter().all(|scale| upper(scale) & EXPONENT != EXPONENT)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use candle_core::quantized::QTensor;
    use candle_core::{Device, Tensor};

    use super::*;

    #[test]
    fn scales_are_where_they_are_said_to_be() {
        let numbers: Vec<f32> = (0..512).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
        let tensor = Tensor::from_vec(numbers, (2, 256), &Device::Cpu).unwrap();
        for blocks in &BLOCKS {
            let quantised = QTensor::quantize(&tensor, blocks.kind).unwrap();
            let bytes = quantised.data().unwrap().into_owned();
            assert!(blocks.are_finite(&bytes), "{:?}", blocks.kind);
            for scale in blocks.scales {
                let mut broken = bytes.clone();
                broken[scale + 1] |= 0x7c;
                assert!(!blocks.are_finite(&broken), "{:?}", blocks.kind);
            }
            assert_eq!(Format::of(blocks.number), Ok(Format::Blocks(blocks)));
        }
    }

    #[test]
    fn what_is_not_read_is_named() {
        assert!(Format::of(20).unwrap_err().contains("IQ4_NL"));
        assert!(Format::of(26).unwrap_err().contains("whole numbers (I32)"));
        assert!(Format::of(1_000_000).unwrap_err().contains("1000000"));
    }
}
