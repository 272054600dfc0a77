//! A tiny network, its training run, and one batch for it.
#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

use std::collections::BTreeMap;

use candle_core::Device;
use drdiff_attention::retrieval::Retrieval;
use drdiff_attention::{NoisyClean, Pattern, PlanKind};
use drdiff_diffusion::{LevelMixture, Levels};
use drdiff_kernels::{Builder, Gradients, Params, Rotary, Source, Tape, Value};
use drdiff_model::{Layout, ModelConfig, Network, NoisedBatch, TrainableNetwork};
use drdiff_noise::Noise;
use drdiff_training::{MuonConfig, Optimizer, OptimizerConfig, TrainConfig};

pub(crate) const LEN: usize = 32;

/// Tokens and block size of [`one_batch`].
pub(crate) const VOCAB: usize = 40;
const BLOCK: usize = 8;

pub(crate) fn model(vocab: usize, noise_conditioning: bool) -> ModelConfig {
    ModelConfig {
        vocab,
        width: 32,
        embed: 32,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        head_dim: 16,
        hidden: 48,
        context: LEN,
        rope_base: 10_000.0,
        rope_scaling: None,
        qk_norm_eps: Some(1e-6),
        qkv_bias: false,
        head: Default::default(),
        mask: Default::default(),
        causal_context: false,
        next_token: false,
        norm_eps: 1e-6,
        noise_conditioning,
        embedding_skips: noise_conditioning,
        form: Default::default(),
        attention: Default::default(),
        routing: Default::default(),
    }
}

pub(crate) fn config(vocab: usize, steps: u64) -> TrainConfig {
    TrainConfig {
        model: model(vocab, false),
        steps,
        batch: 2,
        accumulate: 2,
        block_sizes: BTreeMap::from([(1, 1.0), (4, 1.0), (LEN, 1.0)]),
        sampling: Default::default(),
        levels: LevelMixture::default(),
        masked_shares: BTreeMap::new(),
        self_conditioning: 0.5,
        prompt_dropout: Default::default(),
        zero_init_projections: false,
        exercises: Default::default(),
        optimizer: OptimizerConfig {
            warmup: 2,
            ema: 0.9,
            ..Default::default()
        },
        seed: 5,
        log_every: 1,
        validate_every: 0,
        validation_windows: 2,
        validation_blocks: vec![1, 16],
        checkpoint_every: 0,
        adapt: None,
        distill: None,
    }
}

/// A small network that retrieves chunks in the upper two of its four layers, conditioned on noise.
pub(crate) fn retrieving(vocab: usize) -> ModelConfig {
    let mut config = model(vocab, true);
    (config.context, config.layers) = (256, 4);
    config.attention.plan = PlanKind::Retrieval;
    config.attention.neighbours = 2;
    config.attention.retrieval = Retrieval {
        top_k: 3,
        local: 64,
        groups: 2,
        landmark: 8,
        ..Retrieval::default()
    };
    config
}

/// A small network with the loss of one batch that has absorbed, soft and anchored positions.
pub(crate) fn one_batch(noise_conditioning: bool, conditioned: bool) -> (Params, impl Fn(&Tape) -> Value) {
    one_batch_of(&model(VOCAB, noise_conditioning), conditioned)
}

/// [`one_batch`] of a network of this shape.
pub(crate) fn one_batch_of(model: &ModelConfig, conditioned: bool) -> (Params, impl Fn(&Tape) -> Value + use<>) {
    let builder = Builder::new(Source::Init(Noise::new(1, 0)), &Device::Cpu);
    one_batch_from(builder, model, conditioned)
}

/// [`one_batch_of`] with parameters out of `builder`.
pub(crate) fn one_batch_from(
    builder: Builder,
    config: &ModelConfig,
    conditioned: bool,
) -> (Params, impl Fn(&Tape) -> Value + use<>) {
    let network = Network::new(&builder, config, candle_core::DType::F32).unwrap();
    let (params, _) = builder.finish();
    let (vocab, len, sizes) = (config.vocab, config.context, (config.vocab, config.embed));
    let tokens: Vec<u32> = (0..2 * len as u32).map(|i| i * i % vocab as u32).collect();
    let kinds = [(0.0, 1.0), (f32::INFINITY, 0.0), (2.0, 1.0), (0.0, 1.0)];
    let (snr, weight) = (0..2 * len).map(|i| kinds[i % kinds.len()]).unzip();
    let levels = Levels { snr, weight };
    let attention = config.attention.clone();
    let plan = NoisyClean {
        attention,
        causal: false,
    }
    .plan(len, BLOCK)
    .unwrap();
    let units = config.attention.noisy_clean_units(len, BLOCK).unwrap();
    let positions = (0..len as i64).chain(0..len as i64).collect();
    let rotary = Rotary::new(&[positions], 16, 10_000.0, &Device::Cpu).unwrap();
    let forward = move |tape: &Tape| {
        let corrupted =
            NoisedBatch::new(&tokens, &levels, 2, sizes, (Noise::new(2, 0), 3)).in_blocks(&levels, BLOCK, 1.0);
        network
            .loss(
                &corrupted,
                &Layout {
                    plan: plan.clone(),
                    units: units.clone(),
                    rotary: &rotary,
                },
                conditioned,
                None,
                Some(tape),
            )
            .unwrap()
            .objective()
            .unwrap()
    };
    (params, forward)
}

pub(crate) fn gradients(forward: &impl Fn(&Tape) -> Value) -> Gradients {
    let tape = Tape::new();
    tape.backward(&forward(&tape)).unwrap()
}

pub(crate) fn number(forward: &impl Fn(&Tape) -> Value) -> f32 {
    forward(&Tape::new()).tensor().to_scalar().unwrap()
}

/// The loss of one batch after `steps` steps at a rate of 5e-3.
pub(crate) fn learn(params: &Params, forward: &impl Fn(&Tape) -> Value, muon: Option<MuonConfig>, steps: usize) -> f32 {
    let config = OptimizerConfig {
        ema: 0.0,
        muon,
        ..Default::default()
    };
    let mut optimizer = Optimizer::new(params, &config).unwrap();
    for _ in 0..steps {
        optimizer.step(gradients(forward), 5e-3, &config).unwrap();
    }
    number(forward)
}
