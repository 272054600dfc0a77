//! Training steps on random tokens, to be timed: no corpus, nothing read back.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use drdiff_attention::retrieval::Units;
use drdiff_attention::{LayerPlans, NoisyClean, Pattern, Whole};
use drdiff_diffusion::Levels;
use drdiff_kernels::{Builder, Rotary, Source, Tape};
use drdiff_model::{Input, Layout, ModelConfig, Network, NoisedBatch, Rows, TrainableNetwork, Visible};
use drdiff_noise::{Noise, Purpose};

use crate::learned::Learned;
use crate::{Optimizer, OptimizerConfig, Result, StepOutput};

/// What lies in the rows of a timed step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialLayout {
    /// Every position sees every other and is predicted: what a plain encoder trains on.
    Plain,
    /// `[noisy | clean]`, every noisy position absorbed and predicted.
    NoisyClean {
        /// Positions of a block.
        block_size: usize,
    },
}

/// A network with its optimiser, ready to take steps.
pub struct Trial {
    network: Network,
    optimizer: Optimizer,
    layout: TrialLayout,
    plan: LayerPlans,
    units: Option<Arc<Units>>,
    rotary: Rotary,
    batch: usize,
    noise: Noise,
    step: u64,
    params: usize,
    /// How often an expert ran for a row in the last step.
    taken: u64,
}

impl Trial {
    /// A new network of this shape for batches of `batch` sequences of `config.context` tokens.
    ///
    /// # Errors
    /// If the configuration is impossible, or the memory cannot be had.
    pub fn new(config: &ModelConfig, batch: usize, layout: TrialLayout, device: &Device, seed: u64) -> Result<Self> {
        let noise = Noise::new(seed, 0);
        let builder = Builder::new(Source::Init(noise), device);
        let dtype = if device.is_cuda() { DType::BF16 } else { DType::F32 };
        let network = Network::new(&builder, config, dtype)?;
        let (params, _) = builder.finish();
        let len = config.context;
        let once = 0..len as i64;
        let attention = config.attention.clone();
        let (plan, units, positions) = match layout {
            TrialLayout::Plain => (
                Whole {
                    attention: attention.clone(),
                }
                .plan(len, len)?,
                attention.whole_units(len)?,
                once.collect(),
            ),
            TrialLayout::NoisyClean { block_size } => (
                NoisyClean {
                    attention: attention.clone(),
                    causal: config.causal_context,
                }
                .plan(len, block_size)?,
                attention.noisy_clean_units(len, block_size)?,
                once.clone().chain(once).collect(),
            ),
        };
        Ok(Self {
            optimizer: Optimizer::new(
                &params,
                &OptimizerConfig {
                    ema: 0.0,
                    ..Default::default()
                },
            )?,
            plan,
            units,
            rotary: config.rotary(&[positions], device)?,
            params: params.element_count(),
            step: 0,
            taken: 0,
            network,
            layout,
            batch,
            noise,
        })
    }

    /// One whole optimiser step.
    ///
    /// # Errors
    /// If an operation fails.
    pub fn step(&mut self) -> Result<StepOutput> {
        let vocab = self.network.config().vocab;
        let draw = |at| (self.noise.uniform(Purpose::Data, self.step, at) * vocab as f64) as u32;
        let tokens: Vec<u32> = (0..self.tokens() as u64).map(draw).collect();
        let tape = Tape::new();
        let Learned {
            value, objective, load, ..
        } = match self.layout {
            TrialLayout::Plain => self.plain(&tokens, &tape)?,
            TrialLayout::NoisyClean { block_size } => self.noisy_clean(&tokens, block_size, &tape)?,
        };
        let gradients = tape.backward(&objective)?;
        let norm = self.optimizer.step(gradients, 1e-4, &OptimizerConfig::default())?;
        self.step += 1;
        self.taken = load.taken();
        let loss = value;
        Ok(StepOutput {
            loss,
            next_token: None,
            norm,
            load,
        })
    }

    /// Text tokens of a step.
    pub fn tokens(&self) -> usize {
        self.batch * self.network.config().context
    }

    /// Floating-point operations of a step's matrix products and attention pairs, three times the forward pass;
    /// routed experts count as they ran in the last step;
    /// what norms, the optimiser and recomputed scores cost is left out.
    pub fn flops(&self) -> u64 {
        let c = self.network.config();
        let rows = Rows {
            all: self.plan.of(0).queries(),
            open: c.context,
            ..Rows::default()
        };
        let visible = Visible {
            plan: self.plan.clone(),
            units: self.units.clone(),
        };
        let routed = 6 * (c.width * c.routing.expert_hidden) as u64 * self.taken;
        3 * (self.batch as u64 * rows.flops(c, &visible) + routed)
    }

    /// Numbers that the network learns.
    pub fn params(&self) -> usize {
        self.params
    }

    fn layout(&self) -> Layout<'_> {
        Layout {
            plan: self.plan.clone(),
            units: self.units.clone(),
            rotary: &self.rotary,
        }
    }

    fn plain(&self, tokens: &[u32], tape: &Tape) -> Result<Learned> {
        let device = self.network.device();
        let rows = tokens.len();
        let ids = Tensor::from_slice(tokens, rows, device)?;
        let layout = self.layout();
        let segment = layout.segment(self.batch, self.network.config().context);
        let mut input = Input::discrete(ids.clone());
        for _ in 0..self.batch {
            let len = self.network.config().context;
            input
                .groups
                .block(&vec![true; len], 0.0, self.network.config().routing.budget.max);
        }
        let tables = self.network.tables(Some(tape))?;
        let hidden = self
            .network
            .hidden(&tables, &input, &mut [segment], &mut Default::default())?;
        let weights = Tensor::full((rows as f32).recip(), rows, device)?;
        let evidence = self.network.evidence(&hidden)?;
        let (value, _) = evidence.cross_entropy(tables.head(), self.network.bias(), &ids, &weights, None)?;
        Learned::new(&value, &hidden)
    }

    fn noisy_clean(&self, tokens: &[u32], block_size: usize, tape: &Tape) -> Result<Learned> {
        let levels = Levels {
            snr: vec![0.0; tokens.len()],
            weight: vec![1.0; tokens.len()],
        };
        let c = self.network.config();
        let noise = (self.noise, self.step);
        let corrupted = NoisedBatch::new(tokens, &levels, self.batch, (c.vocab, c.embed), noise).in_blocks(
            &levels,
            block_size,
            c.routing.budget.max,
        );
        let layout = self.layout();
        self.network
            .loss(&corrupted, &layout, false, None, Some(tape))?
            .try_into()
    }
}
