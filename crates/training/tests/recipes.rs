//! What can be switched on to learn faster: Muon, projections that begin at zero, other draws of the masked share.

#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

mod common;

use candle_core::{Device, Tensor};
use common::{VOCAB, learn, model, number, one_batch, one_batch_from};
use drdiff_diffusion::{MaskedShare, Weighting};
use drdiff_kernels::{Builder, Source};
use drdiff_noise::Noise;
use drdiff_training::{MuonConfig, PromptDropout, Trainer};

#[test]
fn muon_learns_one_batch_by_heart() {
    let (params, forward) = one_batch(false, false);
    let first = number(&forward);
    let last = learn(&params, &forward, Some(MuonConfig::default()), 60);
    assert!(first > 3.0 && last < 0.05, "from {first} to {last}");
}

fn largest(tensor: &Tensor) -> f32 {
    tensor.abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[test]
fn projections_that_begin_at_zero_learn() {
    let builder = Builder::new(Source::Init(Noise::new(1, 0)), &Device::Cpu).zero_residuals();
    let (params, forward) = one_batch_from(builder, &model(VOCAB, false), false);
    let projection = |name: &str| name.ends_with("attention.out") || name.ends_with("feed_forward.shared.down");
    let matrices = || {
        params
            .vars()
            .filter(|(name, _)| name.starts_with("blocks.") && params.hidden_parts(name).is_some())
    };
    assert_eq!(matrices().filter(|(name, _)| projection(name)).count(), 4);
    for (name, var) in matrices() {
        assert_eq!(largest(var) == 0.0, projection(name), "{name}");
    }
    let before = number(&forward);
    let after = learn(&params, &forward, Some(MuonConfig::default()), 60);
    assert!(after < 0.5 * before, "from {before} to {after}");
    for (name, var) in matrices() {
        assert!(largest(var) > 0.0, "{name}");
    }
}

#[test]
fn validation_measures_the_same_bound_whatever_training_draws() {
    let (_folder, corpus) = common::corpus();
    let config = common::config(corpus.tokenizer().vocab_size(), 6);
    let mut bell = config.clone();
    bell.levels.masked_share = MaskedShare::Bell {
        centre: 0.5,
        width: 0.5,
    };
    bell.masked_shares
        .insert(4, MaskedShare::Clipped { low: 0.3, high: 0.8 });
    let mut trainers = [config, bell].map(|config| Trainer::new(config, &corpus, None, &Device::Cpu).unwrap());
    let [uniform, other] = &trainers;
    assert_eq!(uniform.validate().unwrap(), other.validate().unwrap());
    // The first passes may draw blocks of one position, which leave nothing to choose.
    let losses = trainers.each_mut().map(|trainer| {
        let steps = (0..4).map(|_| trainer.step().unwrap().loss.to_scalar::<f32>().unwrap());
        steps.sum::<f32>()
    });
    assert_ne!(losses[0], losses[1], "training draws otherwise");
}

#[test]
fn each_block_size_has_its_own_masked_share() {
    let mut config = common::config(40, 6);
    config.levels.masked_share = MaskedShare::Clipped { low: 0.1, high: 1.0 };
    config.levels.weighting = Weighting::Likelihood;
    (config.levels.gaussian, config.levels.independent, config.levels.joint) = (0.0, 0.0, 0.0);
    config
        .masked_shares
        .insert(4, MaskedShare::Clipped { low: 0.5, high: 0.75 });
    config.validate().unwrap();
    assert_eq!(config.levels(32).masked_share, config.levels.masked_share);
    // Three of four positions, each worth 4 / 3: a block counts as much as it has positions.
    let levels = config.levels(4).draw(&Noise::new(1, 0), 0, 2, 32, 4).unwrap();
    for (snr, weight) in levels.snr.chunks(4).zip(levels.weight.chunks(4)) {
        assert_eq!(snr.iter().filter(|snr| **snr == 0.0).count(), 3);
        assert!((weight.iter().sum::<f32>() - 4.0).abs() < 1e-6);
    }
    config.masked_shares.insert(8, MaskedShare::Uniform);
    let error = config.validate().unwrap_err().to_string();
    assert!(error.contains("`masked_shares` names a block size of 8"), "{error}");
    config
        .masked_shares
        .insert(4, MaskedShare::Clipped { low: 0.5, high: 0.4 });
    assert!(config.validate().is_err());
}

#[test]
fn windows_without_their_opening_are_learned_from() {
    let (_folder, corpus) = common::corpus();
    let run = |longest: usize| {
        let mut config = common::config(corpus.tokenizer().vocab_size(), 3);
        config.prompt_dropout = PromptDropout { share: 1.0, longest };
        let mut trainer = Trainer::new(config, &corpus, None, &Device::Cpu).unwrap();
        let losses: Vec<f32> = (0..3)
            .map(|_| trainer.step().unwrap().loss.to_scalar().unwrap())
            .collect();
        losses
    };
    assert!(run(31).iter().chain(&run(8)).all(|loss| loss.is_finite()));
    assert_ne!(run(31), run(8));
}
