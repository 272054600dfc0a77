//! Every parameter learns, one batch can be learnt by heart, and a resumed run is the run that never stopped.

#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use drdiff_attention::PlanKind;
use drdiff_diffusion::{LevelMixture, Levels};
use drdiff_kernels::{Builder, Gradients, Noise, Rotary, Source, Tape, TilePlan, Value};
use drdiff_model::{ModelConfig, Network};
use drdiff_testkit::assert_all_learn;
use drdiff_training::data::Corpus;
use drdiff_training::{Corrupted, Layout, OptimizerConfig, Outcome, Run, TrainConfig, Trainer, loss, run};

const LEN: usize = 32;

fn model(vocab: usize, noise_conditioning: bool) -> ModelConfig {
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
        norm_eps: 1e-6,
        noise_conditioning,
        attention: Default::default(),
    }
}

fn config(vocab: usize, steps: u64) -> TrainConfig {
    TrainConfig {
        model: model(vocab, false),
        steps,
        batch: 2,
        accumulate: 2,
        block_sizes: BTreeMap::from([(1, 1.0), (4, 1.0), (LEN, 1.0)]),
        sampling: Default::default(),
        levels: LevelMixture::default(),
        self_conditioning: 0.5,
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
    }
}

/// A small network with the loss of one batch that has absorbed, soft and anchored positions.
fn one_batch(noise_conditioning: bool, conditioned: bool) -> (drdiff_kernels::Params, impl Fn(&Tape) -> Value) {
    let vocab = 40;
    let builder = Builder::new(Source::Init(Noise::new(1, 0)), &Device::Cpu);
    let network = Network::new(&builder, &model(vocab, noise_conditioning), candle_core::DType::F32).unwrap();
    let (params, _) = builder.finish();
    let tokens: Vec<u32> = (0..2 * LEN as u32).map(|i| i * i % vocab as u32).collect();
    let kinds = [(0.0, 1.0), (f32::INFINITY, 0.0), (2.0, 1.0), (0.0, 1.0)];
    let (snr, weight) = (0..2 * LEN).map(|i| kinds[i % kinds.len()]).unzip();
    let levels = Levels { snr, weight };
    let plan = std::sync::Arc::new(TilePlan::new(&[drdiff_attention::noisy_clean(LEN, 8).unwrap()]).unwrap());
    let positions = (0..LEN as i64).chain(0..LEN as i64).collect();
    let rotary = Rotary::new(&[positions], 16, 10_000.0, &Device::Cpu).unwrap();
    let forward = move |tape: &Tape| {
        let corrupted = Corrupted::new(&tokens, &levels, 2, (vocab, 32), (Noise::new(2, 0), 3));
        loss(
            &network,
            &corrupted,
            &Layout {
                plan: plan.clone(),
                rotary: &rotary,
            },
            conditioned,
            Some(tape),
        )
        .unwrap()
        .value
    };
    (params, forward)
}

fn gradients(forward: &impl Fn(&Tape) -> Value) -> Gradients {
    let tape = Tape::new();
    tape.backward(&forward(&tape)).unwrap()
}

fn number(forward: &impl Fn(&Tape) -> Value) -> f32 {
    forward(&Tape::new()).tensor().to_scalar().unwrap()
}

#[test]
fn every_parameter_gets_a_finite_gradient_that_is_not_zero() {
    for noise_conditioning in [false, true] {
        let (params, forward) = one_batch(noise_conditioning, true);
        let gradients = gradients(&forward);
        assert_all_learn(params.vars(), |parameter| gradients.get(parameter));
    }
}

/// The loss rises along the gradient of each parameter as fast as the gradient's norm says.
#[test]
fn the_gradient_of_the_model_is_that_of_its_loss() {
    let (params, forward) = one_batch(false, false);
    let value = || f64::from(number(&forward));
    let gradients = gradients(&forward);
    for (name, var) in params
        .vars()
        .filter(|(name, _)| name.starts_with("blocks.1") || *name == "evidence_map")
    {
        let gradient = gradients.get(var).unwrap();
        let norm = gradient
            .sqr()
            .unwrap()
            .sum_all()
            .unwrap()
            .sqrt()
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        let start = var.as_tensor().copy().unwrap();
        let step = (2e-2 / f64::from(norm)).min(0.1);
        let mut sides = Vec::new();
        for sign in [1.0, -1.0] {
            var.set(&(&start + gradient.affine(sign * step / f64::from(norm), 0.0).unwrap()).unwrap())
                .unwrap();
            sides.push(value());
        }
        var.set(&start).unwrap();
        let slope = (sides[0] - sides[1]) / (2.0 * step);
        assert!(
            (slope / f64::from(norm) - 1.0).abs() < 0.05,
            "{name}: slope {slope}, gradient norm {norm}"
        );
    }
}

#[test]
fn one_batch_is_learnt_by_heart() {
    let (params, forward) = one_batch(false, false);
    let optimizer = OptimizerConfig {
        ema: 0.0,
        ..Default::default()
    };
    let mut adam = drdiff_training::AdamW::new(&params, &optimizer).unwrap();
    let first = number(&forward);
    for _ in 0..150 {
        adam.step(gradients(&forward), 1e-2, &optimizer).unwrap();
    }
    let last = number(&forward);
    assert!(first > 3.0 && last < 0.05, "from {first} to {last}");
}

fn train(corpus: &Corpus, dir: &Path, steps: u64, resume: bool) -> Outcome {
    // Equal schedules, whatever the number of steps taken before the stop.
    let config = config(corpus.tokenizer().vocab_size(), 6);
    let mut trainer = if resume {
        Trainer::resume(config, corpus, dir, &Device::Cpu).unwrap()
    } else {
        Trainer::new(config, corpus, None, &Device::Cpu).unwrap()
    };
    let stop = AtomicBool::new(false);
    let options = Run {
        dir,
        commit: "test",
        stop: &stop,
        limit: None,
    };
    run(&mut trainer, &options, &mut |event| {
        if let drdiff_training::Event::Steps(record) = event {
            stop.store(record.step + 1 == steps, std::sync::atomic::Ordering::Relaxed);
        }
    })
    .unwrap()
}

#[test]
fn a_resumed_run_is_bit_for_bit_the_run_that_never_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = common::Stories::write().prepare(&common::options());
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    std::fs::create_dir_all(&whole).unwrap();
    std::fs::create_dir_all(&parts).unwrap();
    assert_eq!(train(&corpus, &whole, 99, false), Outcome::Finished);
    assert_eq!(train(&corpus, &parts, 3, false), Outcome::Stopped);
    assert_eq!(train(&corpus, &parts, 99, true), Outcome::Finished);
    for file in [drdiff_training::MODEL_FILE, drdiff_training::TRAINING_FILE] {
        let read = |dir: &Path| {
            let checkpoint = drdiff_model::load_checkpoint(&dir.join(file), &Device::Cpu).unwrap();
            let tensor = |loaded| match loaded {
                drdiff_kernels::Loaded::Dense(tensor) => values(&tensor),
                drdiff_kernels::Loaded::Quantized(_) => unreachable!("checkpoints are dense"),
            };
            checkpoint
                .tensors
                .into_iter()
                .map(|(name, t)| (name, tensor(t)))
                .collect::<BTreeMap<_, _>>()
        };
        assert!(read(&whole) == read(&parts), "{file} differs");
    }
}

#[test]
fn a_sparse_run_is_saved_with_its_plan() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = common::Stories::write().prepare(&common::options());
    let mut config = config(corpus.tokenizer().vocab_size(), 2);
    config.model.context = 256;
    config.model.attention.plan = PlanKind::LengthAdaptive;
    let numbers = &mut config.model.attention.length_adaptive;
    (numbers.dense, numbers.cell) = (64, 64);
    numbers.rings.truncate(1);
    numbers.rings[0].from = 64;
    config.model.context += 1;
    assert!(config.validate().unwrap_err().to_string().contains("multiple of 64"));
    config.model.context -= 1;
    let mut trainer = Trainer::new(config.clone(), &corpus, None, &Device::Cpu).unwrap();
    let options = Run {
        dir: folder.path(),
        commit: "test",
        stop: &AtomicBool::new(false),
        limit: None,
    };
    assert_eq!(run(&mut trainer, &options, &mut |_| {}).unwrap(), Outcome::Finished);
    let path = folder.path().join(drdiff_training::MODEL_FILE);
    let saved = || drdiff_model::load_checkpoint(&path, &Device::Cpu).unwrap();
    assert_eq!(saved().metadata.config, config.model);
    // Weights may be trained on under another plan.
    config.model.attention.plan = PlanKind::Dense;
    assert!(Trainer::new(config.clone(), &corpus, Some(saved()), &Device::Cpu).is_ok());
    config.model.hidden += 1;
    assert!(Trainer::new(config, &corpus, Some(saved()), &Device::Cpu).is_err());
}

#[test]
fn a_diverging_run_stops_and_names_its_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = common::Stories::write().prepare(&common::options());
    let mut config = config(corpus.tokenizer().vocab_size(), 50);
    config.checkpoint_every = 1;
    config.optimizer.learning_rate = 1e25;
    config.optimizer.warmup = 20;
    let mut trainer = Trainer::new(config, &corpus, None, &Device::Cpu).unwrap();
    let options = Run {
        dir: folder.path(),
        commit: "test",
        stop: &AtomicBool::new(false),
        limit: None,
    };
    let error = run(&mut trainer, &options, &mut |_| {}).unwrap_err().to_string();
    assert!(
        error.contains("diverged") && error.contains("the last good checkpoint is that of step"),
        "{error}"
    );
    drdiff_model::load_checkpoint(&folder.path().join(drdiff_training::MODEL_FILE), &Device::Cpu).unwrap();
}

fn values(tensor: &candle_core::Tensor) -> Vec<u32> {
    tensor
        .flatten_all()
        .unwrap()
        .to_vec1::<f32>()
        .unwrap()
        .into_iter()
        .map(f32::to_bits)
        .collect()
}
