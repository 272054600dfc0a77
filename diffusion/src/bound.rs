//! A bound on the negative log-likelihood, in nats per token, from a few draws of the discrete chain.
//!
//! Unmask the `B` positions of a block in a uniformly random order `o`. By Jensen's inequality
//! `-ln p(x) <= E_o sum_i CE(x_{o_i} | x_{o_<i})` (order-agnostic autoregression: Uria et al., arXiv 1310.1757;
//! Hoogeboom et al., arXiv 2110.02037). With `k` positions still masked each of them is equally likely to
//! be next, so the right side is `B E_k [mean CE over the masked positions]`, `k` uniform in `1..=B`: the bound of
//! masked diffusion without its integral over time, block after block as in BD3-LM (arXiv 2503.09573).

use std::f64::consts::LN_2;

use drdiff_noise::{Noise, Purpose};

use crate::error::{Error, Result};
use crate::masked_share::{MaskedShare, choose, stratified};

/// Which positions of each block are masked in one round of the estimate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskPlan {
    block_size: usize,
    masked: Vec<bool>,
}

impl MaskPlan {
    /// Masks for `blocks` blocks of `block_size`: the counts are stratified over `1..=block_size`, the positions are
    /// a uniform subset. Different `round`s are independent draws; the plan depends on nothing else.
    ///
    /// # Errors
    /// [`Error::Zero`] for an empty block.
    pub fn new(noise: &Noise, round: u64, blocks: usize, block_size: usize) -> Result<Self> {
        if block_size == 0 {
            return Err(Error::Zero("block_size"));
        }
        let mut stream = noise.stream(Purpose::MaskedShare, round, 0);
        let mut masked = vec![false; blocks * block_size];
        for (block, u) in masked.chunks_exact_mut(block_size).zip(stratified(&mut stream, blocks)) {
            for position in choose(&mut stream, block_size, MaskedShare::Uniform.masked(u, block_size)) {
                block[position] = true;
            }
        }
        Ok(Self { block_size, masked })
    }

    /// Masks of block `index`, `[block_size]`.
    #[must_use]
    pub fn block(&self, index: usize) -> &[bool] {
        &self.masked[index * self.block_size..][..self.block_size]
    }

    /// All masks, `[blocks * block_size]`: the text itself, position by position.
    #[must_use]
    pub fn masked(&self) -> &[bool] {
        &self.masked
    }
}

/// Running estimate of the bound: every block adds the mean cross-entropy of its masked positions.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BoundAccumulator {
    blocks: u64,
    mean: f64,
    squares: f64,
}

impl BoundAccumulator {
    /// Adds one block: `nats` is the summed cross-entropy of its `masked` masked positions out of `block_size`.
    ///
    /// # Errors
    /// [`Error::MaskedCount`] unless `1 <= masked <= block_size`.
    pub fn add(&mut self, masked: usize, block_size: usize, nats: f64) -> Result<()> {
        if masked == 0 || masked > block_size {
            return Err(Error::MaskedCount { masked, block_size });
        }
        // Welford's update: no cancellation however many blocks are added.
        let value = nats / masked as f64;
        self.blocks += 1;
        let delta = value - self.mean;
        self.mean += delta / self.blocks as f64;
        self.squares += delta * (value - self.mean);
        Ok(())
    }

    /// Blocks added so far.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// The bound in nats per token; NaN before the first block.
    #[must_use]
    pub fn nats_per_token(&self) -> f64 {
        if self.blocks == 0 { f64::NAN } else { self.mean }
    }

    /// Standard error of [`BoundAccumulator::nats_per_token`] as if the blocks were independent draws, which
    /// overstates it for stratified counts; NaN before the second block.
    #[must_use]
    pub fn standard_error(&self) -> f64 {
        if self.blocks < 2 {
            return f64::NAN;
        }
        let n = self.blocks as f64;
        (self.squares / (n - 1.0) / n).sqrt()
    }

    /// The bound in bits per byte for text of `tokens` tokens in `bytes` bytes.
    #[must_use]
    pub fn bits_per_byte(&self, tokens: u64, bytes: u64) -> f64 {
        self.nats_per_token() / LN_2 * tokens as f64 / bytes as f64
    }
}
