//! A resumed run is the run that never stopped, whatever the optimiser; a run may grow; a foreign one is refused.

#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use common::assert_same;
use drdiff_data::Corpus;
use drdiff_training::{
    Event, MODEL_FILE, MuonConfig, Outcome, Run, StepOutput, TRAINING_FILE, TrainConfig, Trainer, run,
};

/// Six steps under this optimiser.
fn config(corpus: &Corpus, muon: Option<MuonConfig>) -> TrainConfig {
    let mut config = common::config(corpus.tokenizer().vocab_size(), 6);
    config.optimizer.muon = muon;
    config
}

/// Trains into `dir` and stops after `stop_after` steps; goes on if there is a run.
fn train(config: TrainConfig, corpus: &Corpus, dir: &Path, stop_after: u64) -> Outcome {
    std::fs::create_dir_all(dir).unwrap();
    let mut trainer = if dir.join(TRAINING_FILE).exists() {
        Trainer::resume(config, corpus, dir, &Device::Cpu).unwrap()
    } else {
        Trainer::new(config, corpus, None, &Device::Cpu).unwrap()
    };
    let stop = Arc::new(AtomicBool::new(false));
    let options = Run {
        dir,
        commit: "test",
        stop: &stop,
        limit: None,
    };
    run(&mut trainer, &options, &mut |event| {
        if let Event::Steps(record) = event {
            stop.store(record.step + 1 == stop_after, Ordering::Relaxed);
        }
    })
    .unwrap()
}

#[test]
fn a_resumed_run_is_bit_for_bit_the_run_that_never_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let (_folder, corpus) = common::corpus();
    for muon in [None, Some(MuonConfig::default())] {
        let dir = |name: &str| folder.path().join(format!("{name} {muon:?}"));
        let (whole, parts) = (dir("whole"), dir("parts"));
        let config = config(&corpus, muon);
        assert_eq!(train(config.clone(), &corpus, &whole, 99), Outcome::Finished);
        assert_eq!(train(config.clone(), &corpus, &parts, 3), Outcome::Stopped);
        assert_eq!(train(config, &corpus, &parts, 99), Outcome::Finished);
        assert_same(&whole, &parts);
    }
}

#[test]
fn a_run_may_grow_and_then_decay_but_not_shrink() {
    let folder = tempfile::tempdir().unwrap();
    let (_folder, corpus) = common::corpus();
    let (whole, legs) = (folder.path().join("whole"), folder.path().join("legs"));
    let mut long = config(&corpus, Some(MuonConfig::default()));
    long.optimizer.decay_share = 0.5;
    assert_eq!(train(long.clone(), &corpus, &whole, 99), Outcome::Finished);

    let mut first = long.clone();
    first.steps = 3;
    first.optimizer.decay_share = 0.0;
    assert_eq!(train(first, &corpus, &legs, 99), Outcome::Finished);
    assert_eq!(train(long.clone(), &corpus, &legs, 99), Outcome::Finished);
    assert_same(&whole, &legs);

    let shorter = TrainConfig { steps: 5, ..long };
    let error = Trainer::resume(shorter, &corpus, &legs, &Device::Cpu).err().unwrap();
    let error = error.to_string();
    assert!(
        error.contains("taken 6 steps") && error.contains("at least 6"),
        "{error}"
    );
}

#[test]
fn another_optimiser_is_refused_and_both_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (_folder, corpus) = common::corpus();
    for (before, after) in [(None, Some(MuonConfig::default())), (Some(MuonConfig::default()), None)] {
        let dir = folder.path().join(format!("{before:?}"));
        train(config(&corpus, before), &corpus, &dir, 1);
        let error = Trainer::resume(config(&corpus, after), &corpus, &dir, &Device::Cpu)
            .err()
            .unwrap();
        let error = error.to_string();
        assert!(
            ["adamw", "muon", "--from"].iter().all(|word| error.contains(word)),
            "{error}"
        );
        // Its weights are a start for either.
        let weights = drdiff_model::load_checkpoint(&dir.join(MODEL_FILE), &Device::Cpu).unwrap();
        let mut trainer = Trainer::new(config(&corpus, after), &corpus, Some(weights), &Device::Cpu).unwrap();
        trainer.step().unwrap();
    }
}

#[test]
fn a_step_that_is_given_up_changes_nothing() {
    let (_folder, corpus) = common::corpus();
    let trainer = || Trainer::new(config(&corpus, None), &corpus, None, &Device::Cpu).unwrap();
    let loss = |output: StepOutput| output.loss.to_scalar::<f32>().unwrap().to_bits();
    let (mut whole, mut disturbed) = (trainer(), trainer());
    let mut given_up = 0;
    for _ in 0..4 {
        let wanted = loss(whole.step().unwrap());
        // The flag is set later and later, until it comes too late.
        let found = (0..).find_map(|delay| {
            let stop = Arc::new(AtomicBool::new(false));
            let setter = stop.clone();
            let setting = std::thread::spawn(move || {
                std::thread::sleep(std::time::Duration::from_micros(500 * delay * delay));
                setter.store(true, Ordering::Relaxed);
            });
            let output = disturbed.step_until(&stop).unwrap();
            setting.join().unwrap();
            given_up += u32::from(output.is_none());
            output
        });
        assert_eq!(loss(found.unwrap()), wanted);
    }
    assert!(given_up > 0);
    assert_eq!(disturbed.steps_taken(), 4);
}
