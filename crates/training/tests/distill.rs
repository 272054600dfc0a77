//! Distillation as a stage of training: it resumes exactly, goes through its rounds, and refuses what cannot work.

#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use common::{assert_same, bits};
use drdiff_data::Corpus;
use drdiff_model::{Checkpoint, load_checkpoint};
use drdiff_training::{
    DistillConfig, Event, LessonShares, MODEL_FILE, Outcome, Refresh, Run, TRAINING_FILE, TrainConfig, Trainer, run,
};

/// Two rounds of three steps with lessons of every kind.
fn config(corpus: &Corpus) -> TrainConfig {
    let mut config = common::config(corpus.tokenizer().vocab_size(), 6);
    config.prompt_dropout.share = 0.5;
    config.prompt_dropout.longest = 4;
    config.distill = Some(DistillConfig {
        rounds: vec![4, 2],
        lessons: LessonShares {
            absorbing: 1.0,
            gaussian: 1.0,
            consistency: 1.0,
        },
        ..Default::default()
    });
    config
}

/// A network to begin with, in `dir`.
fn start(corpus: &Corpus, dir: &Path) -> Checkpoint {
    if !dir.join(MODEL_FILE).exists() {
        let mut config = config(corpus);
        config.distill = None;
        let mut trainer = Trainer::new(config, corpus, None, &Device::Cpu).unwrap();
        std::fs::create_dir_all(dir).unwrap();
        trainer.step().unwrap();
        trainer.save(dir, "test").unwrap();
    }
    load_checkpoint(&dir.join(MODEL_FILE), &Device::Cpu).unwrap()
}

/// Distils into `dir` and stops after `stop_after` steps; goes on if there is a run. Returns the events.
fn distil(config: TrainConfig, corpus: &Corpus, from: &Path, dir: &Path, stop_after: u64) -> Vec<Event> {
    std::fs::create_dir_all(dir).unwrap();
    let mut trainer = if dir.join(TRAINING_FILE).exists() {
        Trainer::resume(config, corpus, dir, &Device::Cpu).unwrap()
    } else {
        Trainer::new(config, corpus, Some(start(corpus, from)), &Device::Cpu).unwrap()
    };
    let stop = Arc::new(AtomicBool::new(false));
    let options = Run {
        dir,
        commit: "test",
        stop: &stop,
        limit: None,
    };
    let mut events = Vec::new();
    let outcome = run(&mut trainer, &options, &mut |event| {
        if let Event::Steps(record) = event {
            stop.store(record.step == stop_after, Ordering::Relaxed);
        }
        events.push(event.clone());
    });
    assert_eq!(outcome.unwrap() == Outcome::Finished, stop_after > 6);
    events
}

#[test]
fn a_resumed_distillation_is_bit_for_bit_the_one_that_never_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let (_folder, corpus) = common::corpus();
    let dir = |name: &str| folder.path().join(name);
    // Lessons of all kinds, and then almost none but those of consistency.
    for (refresh, consistency) in [(Refresh::Average, 1.0), (Refresh::Student, 99.0)] {
        let mut config = config(&corpus);
        let distill = config.distill.as_mut().unwrap();
        (distill.refresh, distill.lessons.consistency) = (refresh, consistency);
        let whole = dir(&format!("whole {refresh:?}"));
        distil(config.clone(), &corpus, &dir("start"), &whole, 99);
        // Inside a round, at its end, and inside the next.
        for stop in [2, 3, 4] {
            let parts = dir(&format!("parts {refresh:?} {stop}"));
            distil(config.clone(), &corpus, &dir("start"), &parts, stop);
            distil(config.clone(), &corpus, &dir("start"), &parts, 99);
            assert_same(&whole, &parts);
        }
    }
}

#[test]
fn rounds_begin_on_time_with_a_teacher_and_a_rate_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let (_folder, corpus) = common::corpus();
    let (from, dir) = (folder.path().join("start"), folder.path().join("run"));
    let config = config(&corpus);
    let events = distil(config.clone(), &corpus, &from, &dir, 99);
    let rounds: Vec<(u64, usize)> = events
        .iter()
        .filter_map(|event| match event {
            Event::Round { step, student_steps } => Some((*step, *student_steps)),
            _ => None,
        })
        .collect();
    assert_eq!(rounds, [(0, 4), (3, 2)]);
    let rates: Vec<f64> = (0..6).map(|step| config.rate(step)).collect();
    assert_eq!(rates[..3], rates[3..]);

    // The teacher of the last round is what the student was at its beginning.
    let first = folder.path().join("first");
    distil(config, &corpus, &from, &first, 3);
    let (first, last) = (bits(&first.join(TRAINING_FILE)), bits(&dir.join(TRAINING_FILE)));
    assert!(last["teacher.evidence_map"] == first["average.evidence_map"]);
    assert!(last["teacher.evidence_map"] != first["teacher.evidence_map"]);
}

#[test]
fn what_cannot_be_distilled_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_folder, corpus) = common::corpus();
    let (from, dir) = (folder.path().join("start"), folder.path().join("run"));
    let config = config(&corpus);
    let nobody = Trainer::new(config.clone(), &corpus, None, &Device::Cpu).err().unwrap();
    assert!(nobody.to_string().contains("--from"), "{nobody}");

    distil(config.clone(), &corpus, &from, &dir, 2);
    let refusal = |change: fn(&mut TrainConfig)| {
        let mut changed = config.clone();
        change(&mut changed);
        let error = Trainer::resume(changed, &corpus, &dir, &Device::Cpu).err().unwrap();
        error.to_string()
    };
    assert!(refusal(|c| c.distill = None).contains("`--distill`"));
    assert!(refusal(|c| c.steps = 12).contains("`steps` differ"));
    assert!(refusal(|c| c.distill.as_mut().unwrap().plain = 0.5).contains("`distill` section"));
}
