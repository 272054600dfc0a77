//! The bound on held-out text, by block size.

mod difficulty;
mod layouts;
mod likelihood;
mod parts;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::DType;
use drdiff_attention::{LayerPlans, block_causal};
use drdiff_data::Window;
use drdiff_diffusion::{BoundAccumulator, Levels, MaskPlan};
use drdiff_kernels::{Error as KernelsError, TilePlan};
use drdiff_noise::Noise;
use serde::Serialize;

pub use difficulty::{Difficulty, Frequency, Spent};
pub use layouts::Layouts;
pub use likelihood::likelihood;
pub use parts::PartBound;

use crate::{Error, Layout, Network, NoisedBatch, Result, TrainableNetwork, next_token_nats};
use parts::Parts;

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
    /// Floating-point operations of attention and retrieval, forward, for each text token: its noisy and its clean row, or its noisy
    /// row alone where a block is the whole window.
    pub attention_flops: u64,
    /// The bound of equal parts of the windows, from their first positions to their last, if it was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartBound>,
}

/// Measures a network on windows of text.
pub struct Bounds<'a> {
    network: &'a Network,
    layouts: Layouts,
    len: usize,
    batch: usize,
    budget: f64,
    parts: Parts,
    /// Ends the measurement between two passes.
    stop: Option<Arc<AtomicBool>>,
}

impl<'a> Bounds<'a> {
    /// For windows of `len` tokens, `batch` of them in a pass. Neither decides a mask, so figures of one network on the
    /// same windows differ by rounding alone.
    ///
    /// # Errors
    /// If an operation fails.
    pub fn new(network: &'a Network, len: usize, batch: usize) -> Result<Self> {
        let config = network.config();
        Ok(Self {
            network,
            layouts: Layouts::new(config, len, network.device())?,
            len,
            batch,
            budget: config.routing.budget.max,
            parts: Parts::new(len, 0)?,
            stop: None,
        })
    }

    /// With the bound of `parts` equal parts of the windows beside that of the whole.
    ///
    /// # Errors
    /// If their number does not divide the windows.
    pub fn by_position(mut self, parts: usize) -> Result<Self> {
        self.parts = Parts::new(self.len, parts)?;
        Ok(self)
    }

    /// With this share of the routed experts' full compute, instead of the greatest that the network was trained at.
    #[must_use]
    pub fn with_budget(mut self, budget: f64) -> Self {
        self.budget = budget;
        self
    }

    /// Given up with [`KernelsError::Stopped`] between two passes when `stop` is set.
    #[must_use]
    pub fn until(mut self, stop: Option<Arc<AtomicBool>>) -> Self {
        self.stop = stop;
        self
    }

    /// The bound on `windows` that are written in blocks of `block_size`. Networks that predict next tokens write blocks of one
    /// position so, of which each is given all before it: of all positions but the first.
    ///
    /// # Errors
    /// If the block size does not divide the windows, or an operation fails.
    pub fn of(&self, windows: &[Window], block_size: usize) -> Result<BlockBound> {
        let model = self.network.config();
        if block_size == 1 && model.next_token {
            return self.token_by_token(windows);
        }
        let mut attention = 0;
        let (mut bound, mut parts) = (BoundAccumulator::default(), self.parts.clone());
        self.each_pass(windows, block_size, |corrupted, layout, masked| {
            let retrieval = model.retrieval_flops(layout.units.as_deref());
            attention = layout.plan.flops(model.layers, model.heads, model.head_dim) + retrieval;
            let nats = self
                .network
                .loss(corrupted, layout, false, None, None)?
                .nats
                .to_dtype(DType::F64)?
                .to_vec1::<f64>()?;
            let open = |masked: &[bool]| masked.iter().filter(|open| **open).count();
            let mut left = nats.as_slice();
            for window in masked.chunks(self.len) {
                let (mut mine, rest) = left.split_at(open(window));
                parts.add(window, block_size, mine)?;
                for block in window.chunks(block_size) {
                    let (block, rest) = mine.split_at(open(block));
                    bound.add(block.len(), block_size, block.iter().sum())?;
                    mine = rest;
                }
                left = rest;
            }
            Ok(())
        })?;
        Ok(self.report(windows, block_size, attention, (&bound, &parts)))
    }

    fn token_by_token(&self, windows: &[Window]) -> Result<BlockBound> {
        let (mut bound, mut parts) = (BoundAccumulator::default(), self.parts.clone());
        let mut predicted = vec![true; self.len];
        predicted[0] = false;
        for window in windows {
            self.go_on()?;
            let nats = next_token_nats(self.network, &window.ids, 1)?;
            parts.add(&predicted, 1, &nats)?;
            nats.iter().try_for_each(|nats| bound.add(1, 1, *nats))?;
        }
        let model = self.network.config();
        let plan = LayerPlans::from(TilePlan::new(&[block_causal(self.len, 1)?])?);
        let attention = plan.flops(model.layers, model.heads, model.head_dim);
        Ok(self.report(windows, 1, attention, (&bound, &parts)))
    }

    fn report(
        &self,
        windows: &[Window],
        block_size: usize,
        attention: u64,
        (bound, parts): (&BoundAccumulator, &Parts),
    ) -> BlockBound {
        let bytes = windows.iter().map(|window| window.bytes).sum();
        let tokens = (windows.len() * self.len) as u64;
        BlockBound {
            block_size,
            nats: bound.nats_per_token(),
            error: bound.standard_error(),
            bits_per_byte: bound.bits_per_byte(tokens, bytes),
            attention_flops: attention / self.len as u64,
            parts: parts.bounds(),
        }
    }

    /// Fails if the measurement is to end.
    fn go_on(&self) -> Result<()> {
        match self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            true => Err(KernelsError::Stopped.into()),
            false => Ok(()),
        }
    }

    pub(crate) fn network(&self) -> &Network {
        self.network
    }

    /// Shows `see` pass after pass of `windows`, with its layout and the positions that are masked in it.
    ///
    /// # Errors
    /// If the block size does not divide the windows, or an operation fails.
    pub(crate) fn each_pass(
        &self,
        windows: &[Window],
        block_size: usize,
        mut see: impl FnMut(&NoisedBatch, &Layout<'_>, &[bool]) -> Result<()>,
    ) -> Result<()> {
        let (len, model) = (self.len, self.network.config());
        if block_size == 0 || !len.is_multiple_of(block_size) {
            return Err(Error::Measure(format!(
                "blocks of {block_size} do not fill windows of {len} tokens; use a divisor of {len}"
            )));
        }
        let masks = MaskPlan::new(&VALIDATION, 0, windows.len() * len / block_size, block_size)?;
        for (part, windows) in windows.chunks(self.batch).enumerate() {
            self.go_on()?;
            let tokens: Vec<u32> = windows.iter().flat_map(|window| window.ids.iter().copied()).collect();
            let first = part * self.batch * len;
            let masked = &masks.masked()[first..first + tokens.len()];
            let levels = Levels {
                snr: masked
                    .iter()
                    .map(|open| if *open { 0.0 } else { f32::INFINITY })
                    .collect(),
                weight: masked.iter().map(|open| f32::from(*open)).collect(),
            };
            let sizes = (model.vocab, model.embed);
            let mut corrupted = NoisedBatch::new(&tokens, &levels, windows.len(), sizes, (VALIDATION, 0));
            if block_size == len {
                corrupted = corrupted.alone();
            }
            let corrupted = corrupted.in_blocks(&levels, block_size, self.budget);
            see(&corrupted, &self.layouts.of(&corrupted, block_size)?, masked)?;
        }
        Ok(())
    }
}
