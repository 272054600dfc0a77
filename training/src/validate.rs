//! The bound on held-out text, by block size.

use candle_core::DType;
use drdiff_diffusion::{BoundAccumulator, Levels, MaskPlan};
use drdiff_kernels::Noise;
use serde::Serialize;

use crate::data::Window;
use crate::{Corrupted, Layout, Result, Trainer, loss};

/// Key of the masks that validation draws: the same for every run, so that figures can be compared.
const VALIDATION: Noise = Noise::new(0x5eed, 1);

/// A bound on the negative log-likelihood of the validation text, written in blocks of one size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BlockBound {
    /// Block size.
    pub block_size: usize,
    /// Nats per token.
    pub nats: f64,
    /// Standard error of `nats`.
    pub error: f64,
    /// Bits per byte of text.
    pub bits_per_byte: f64,
}

impl Trainer<'_> {
    /// The bound of the averaged weights at each validation block size.
    ///
    /// # Errors
    /// If there is no validation text, or an operation fails.
    pub fn validate(&self) -> Result<Vec<BlockBound>> {
        let windows = self
            .corpus
            .valid_windows(self.config.model.context, None, self.config.validation_windows)?;
        let sizes = &self.config.validation_blocks;
        self.optimizer
            .with_average(|| sizes.iter().map(|size| self.bound(&windows, *size)).collect())
    }

    fn bound(&self, windows: &[Window], block_size: usize) -> Result<BlockBound> {
        let len = self.config.model.context;
        let layout = Layout {
            plan: self.plans.get(len, block_size)?,
            rotary: &self.rotary,
        };
        let masks = MaskPlan::new(&VALIDATION, 0, windows.len() * len / block_size, block_size)?;
        let mut bound = BoundAccumulator::default();
        for (part, windows) in windows.chunks(self.config.batch).enumerate() {
            let tokens: Vec<u32> = windows.iter().flat_map(|window| window.ids.iter().copied()).collect();
            let first = part * self.config.batch * len;
            let masked = &masks.masked()[first..first + tokens.len()];
            let levels = Levels {
                snr: masked
                    .iter()
                    .map(|open| if *open { 0.0 } else { f32::INFINITY })
                    .collect(),
                weight: masked.iter().map(|open| f32::from(*open)).collect(),
            };
            let model = &self.config.model;
            let sizes = (model.vocab, model.embed);
            let corrupted = Corrupted::new(&tokens, &levels, windows.len(), sizes, (VALIDATION, 0));
            let nats = loss(&self.network, &corrupted, &layout, false, None)?
                .nats
                .to_dtype(DType::F64)?
                .to_vec1::<f64>()?;
            let mut left = nats.as_slice();
            for block in masked.chunks(block_size) {
                let open = block.iter().filter(|open| **open).count();
                let (mine, rest) = left.split_at(open);
                bound.add(open, block_size, mine.iter().sum())?;
                left = rest;
            }
        }
        let bytes = windows.iter().map(|window| window.bytes).sum();
        let tokens = (windows.len() * len) as u64;
        Ok(BlockBound {
            block_size,
            nats: bound.nats_per_token(),
            error: bound.standard_error(),
            bits_per_byte: bound.bits_per_byte(tokens, bytes),
        })
    }
}
