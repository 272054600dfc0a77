//! Test inputs that need no random generator under test.

use candle_core::{DType, Device, Result, Tensor};

/// An endless source of the same numbers in every run (SplitMix64; Steele, Lea, Flood, 2014).
#[derive(Debug, Clone)]
pub struct Inputs(u64);

impl Inputs {
    /// A source of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_F491_4F6C_DD1D))
    }

    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// Numbers spread over [-1.7, 1.7], of variance about 1, that f32 holds exactly.
    pub fn numbers(&mut self, count: usize) -> Vec<f64> {
        let unit = |word: u64| (word >> 40) as f64 / (1u64 << 24) as f64;
        (0..count)
            .map(|_| f64::from(((2.0 * unit(self.word()) - 1.0) * 1.732) as f32))
            .collect()
    }

    /// Whole numbers below `below`.
    pub fn whole(&mut self, count: usize, below: usize) -> Vec<usize> {
        (0..count).map(|_| (self.word() % below as u64) as usize).collect()
    }
}

/// An f32 CPU tensor of these numbers.
///
/// # Errors
/// If the shape does not fit.
pub fn tensor(numbers: &[f64], shape: &[usize]) -> Result<Tensor> {
    Tensor::from_slice(numbers, shape, &Device::Cpu)?.to_dtype(DType::F32)
}

/// The numbers of a tensor in order.
///
/// # Errors
/// If it cannot be read.
pub fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}
