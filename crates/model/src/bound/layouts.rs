//! The layouts of the windows of a run.

use candle_core::Device;
use drdiff_attention::{AttentionConfig, NoisyClean, PlanCache, Whole};
use drdiff_kernels::Rotary;

use crate::{Layout, ModelConfig, NoisedBatch, Result};

/// Plans and rotations for windows of one length, made on first use.
///
/// Windows that are one block are laid out alone ([`NoisedBatch::alone`]): they see themselves to both sides, and a network
/// that retrieves finds its chunks among their own rows.
pub struct Layouts {
    attention: AttentionConfig,
    len: usize,
    halves: PlanCache<NoisyClean>,
    whole: PlanCache<Whole>,
    /// Of both halves, which hold the same positions, and of one.
    rotaries: [Rotary; 2],
}

impl Layouts {
    /// For windows of `len` positions, read by a network of this shape on `device`.
    ///
    /// # Errors
    /// If the memory cannot be had.
    pub fn new(model: &ModelConfig, len: usize, device: &Device) -> Result<Self> {
        let attention = &model.attention;
        let once: Vec<i64> = (0..len as i64).collect();
        let rotary = |positions| model.rotary(&[positions], device);
        Ok(Self {
            attention: attention.clone(),
            len,
            halves: PlanCache::new(NoisyClean {
                attention: attention.clone(),
                causal: model.causal_context,
            }),
            whole: PlanCache::new(Whole {
                attention: attention.clone(),
            }),
            rotaries: [rotary([once.clone(), once.clone()].concat())?, rotary(once)?],
        })
    }

    /// The layout of `corrupted` windows in blocks of `block_size`.
    ///
    /// # Errors
    /// If the attention plan has no meaning for such blocks.
    pub fn of(&self, corrupted: &NoisedBatch, block_size: usize) -> Result<Layout<'_>> {
        let (len, [halves, once]) = (self.len, &self.rotaries);
        Ok(if corrupted.each == len {
            Layout {
                plan: self.whole.get(len, block_size)?,
                units: self.attention.whole_units(len)?,
                rotary: once,
            }
        } else {
            Layout {
                plan: self.halves.get(len, block_size)?,
                units: self.attention.noisy_clean_units(len, block_size)?,
                rotary: halves,
            }
        })
    }
}
