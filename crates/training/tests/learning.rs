//! Every parameter learns, one batch can be learnt by heart, and a run that runs away stops.

mod common;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use common::{VOCAB, config, gradients, learn, number, one_batch, one_batch_from, retrieving};
use drdiff_attention::{AttentionConfig, PlanKind, TreeConfig};
use drdiff_kernels::{Builder, Source};
use drdiff_noise::Noise;
use drdiff_testkit::assert_all_learn;
use drdiff_training::{Outcome, Run, Trainer, run};

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
fn a_network_that_retrieves_learns_with_all_of_its_parameters() {
    let builder = Builder::new(Source::Init(Noise::new(1, 0)), &Device::Cpu);
    let (params, forward) = one_batch_from(builder, &retrieving(VOCAB), true);
    let gradients = gradients(&forward);
    assert_all_learn(params.vars(), |parameter| gradients.get(parameter));
    for part in [
        "chunk_encoder.landmark",
        "blocks.0.neighbours.up",
        "blocks.2.retrieval.null",
        "blocks.3.retrieval.out",
    ] {
        assert!(params.vars().any(|(name, _)| name == part), "{part}");
    }
    assert!(!params.vars().any(|(name, _)| name.starts_with("blocks.1.retrieval")));
    let first = number(&forward);
    let last = learn(&params, &forward, None, 40);
    assert!(first > 3.0 && last < 1.0, "from {first} to {last}");
}

#[test]
fn one_batch_is_learnt_by_heart() {
    let (params, forward) = one_batch(false, false);
    let first = number(&forward);
    let last = learn(&params, &forward, None, 150);
    assert!(first > 3.0 && last < 0.05, "from {first} to {last}");
}

#[test]
fn a_sparse_run_is_saved_with_its_plan() {
    let folder = tempfile::tempdir().unwrap();
    let (_folder, corpus) = common::corpus();
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
        stop: &Arc::new(AtomicBool::new(false)),
        limit: None,
    };
    assert_eq!(run(&mut trainer, &options, &mut |_| {}).unwrap(), Outcome::Finished);
    let path = folder.path().join(drdiff_training::MODEL_FILE);
    let saved = || drdiff_model::load_checkpoint(&path, &Device::Cpu).unwrap();
    assert_eq!(saved().metadata.config, config.model);
    // Weights may be trained on under another plan, which is then the network's own.
    config.model.attention.plan = PlanKind::Dense;
    let trainer = Trainer::new(config.clone(), &corpus, Some(saved()), &Device::Cpu).unwrap();
    assert_eq!(trainer.network().config(), &config.model);
    config.model.hidden += 1;
    assert!(Trainer::new(config, &corpus, Some(saved()), &Device::Cpu).is_err());
}

#[test]
fn a_run_by_trees_learns_whole_texts() {
    let (_folder, corpus) = common::corpus();
    let mut config = config(corpus.tokenizer().vocab_size(), 2);
    let context = config.model.context;
    config.model.attention = AttentionConfig {
        plan: PlanKind::Tree,
        layers: vec![1],
        tree: TreeConfig {
            branching: vec![8, 2],
            near: 0,
        },
        ..AttentionConfig::default()
    };
    let refused = config.validate().unwrap_err().to_string();
    assert!(refused.contains(&format!("choose blocks of {context}")), "{refused}");
    config.block_sizes = [(context, 1.0)].into();
    config.validation_blocks = vec![context];
    let mut trainer = Trainer::new(config, &corpus, None, &Device::Cpu).unwrap();
    assert!(trainer.step().unwrap().loss.to_scalar::<f32>().unwrap().is_finite());
    assert!(trainer.validate().unwrap()[0].nats.is_finite());
}

#[test]
fn a_run_that_retrieves_is_saved_and_starts_from_its_own_weights_only() {
    let folder = tempfile::tempdir().unwrap();
    let (_folder, corpus) = common::corpus();
    let vocab = corpus.tokenizer().vocab_size();
    let mut config = config(vocab, 3);
    config.model = retrieving(vocab);
    let mut trainer = Trainer::new(config.clone(), &corpus, None, &Device::Cpu).unwrap();
    let options = Run {
        dir: folder.path(),
        commit: "test",
        stop: &Arc::new(AtomicBool::new(false)),
        limit: None,
    };
    assert_eq!(run(&mut trainer, &options, &mut |_| {}).unwrap(), Outcome::Finished);
    let path = folder.path().join(drdiff_training::MODEL_FILE);
    let saved = || drdiff_model::load_checkpoint(&path, &Device::Cpu).unwrap();
    config.model.attention.retrieval.top_k += 1;
    assert!(Trainer::new(config.clone(), &corpus, Some(saved()), &Device::Cpu).is_ok());
    config.model.attention.plan = PlanKind::Dense;
    assert!(Trainer::new(config, &corpus, Some(saved()), &Device::Cpu).is_err());
}

#[test]
fn a_diverging_run_stops_and_names_its_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (_folder, corpus) = common::corpus();
    let mut config = config(corpus.tokenizer().vocab_size(), 50);
    config.checkpoint_every = 1;
    config.optimizer.learning_rate = 1e25;
    config.optimizer.warmup = 20;
    let mut trainer = Trainer::new(config, &corpus, None, &Device::Cpu).unwrap();
    let options = Run {
        dir: folder.path(),
        commit: "test",
        stop: &Arc::new(AtomicBool::new(false)),
        limit: None,
    };
    let error = run(&mut trainer, &options, &mut |_| {}).unwrap_err().to_string();
    assert!(
        error.contains("diverged") && error.contains("the last good checkpoint is that of step"),
        "{error}"
    );
    drdiff_model::load_checkpoint(&folder.path().join(drdiff_training::MODEL_FILE), &Device::Cpu).unwrap();
}
