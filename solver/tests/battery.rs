//! The same tests for every solver and every commit schedule, on a closed-form denoiser.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use common::{N, PINNED, Toy, assert_sparing, predict, run, start, tokens};
use drdiff_diffusion::Level;
use drdiff_solver::{
    CommitSchedule, Denoiser, Error, GuidanceConfig, Pace, Prediction, Process, ReabsorbConfig, SamplerConfig,
    SamplingConfig, SolverConfig,
};

#[test]
fn a_sparing_block_commits_the_same_without_what_it_does_not_need() {
    let schedules = [
        CommitSchedule::Random,
        CommitSchedule::Spread,
        CommitSchedule::LeftToRight,
        CommitSchedule::Confidence,
    ];
    for (commit, extrapolate) in schedules
        .into_iter()
        .flat_map(|commit| [(commit, false), (commit, true)])
    {
        let config = SamplerConfig {
            steps: 3,
            commit,
            extrapolate,
            ..SamplerConfig::plain()
        };
        let mut asked = 0;
        assert_sparing(&config, 0, |sparing, _| asked += sparing.asked().len());
        let open = N - PINNED.len();
        // Extrapolation reads each position twice but for those of the first step.
        let first = Pace::Linear.commits(0, 3, open, open);
        let least = if extrapolate { 2 * open - first } else { open };
        assert!(
            if commit.is_blind() {
                asked == least
            } else {
                asked > open
            },
            "{commit}, {extrapolate}: {asked}"
        );
    }
}

#[test]
fn a_sparing_block_needs_logits_for_what_it_commits_alone_unless_guidance_reads_the_likeliest_tokens() {
    let guided = GuidanceConfig {
        kappa: 0.5,
        gate: 0.1,
        ..GuidanceConfig::default()
    };
    for (process, guidance) in [
        (Process::Gaussian, GuidanceConfig::default()),
        (Process::SoftAbsorbing, GuidanceConfig::default()),
        (Process::SoftAbsorbing, guided),
    ] {
        let config = SamplerConfig {
            process,
            guidance,
            steps: 6,
            commit: CommitSchedule::Spread,
            ..SamplerConfig::plain()
        };
        assert_sparing(&config, 0, |sparing, committed| {
            let reads_tops = sparing.needs_data() && guidance.is_on();
            let asked = sparing.asked();
            assert!(reads_tops || asked == committed, "{process}: {asked:?}");
        });
    }
}

fn check_one_step(config: &SamplerConfig) {
    let (_, reports, calls) = run(
        &SamplerConfig {
            steps: 1,
            ..config.clone()
        },
        0..1,
    );
    assert_eq!((calls, reports.len()), (1, 1));
    assert_eq!(reports[0].1.committed.len(), N - PINNED.len());
    assert!(reports[0].1.finished);
}

fn check_levels_rise(config: &SamplerConfig) {
    let mut block = start(config, 0);
    let mut before: Vec<f64> = block.state().levels.iter().map(|l| l.snr()).collect();
    let mut toy = Toy::default();
    while !block.is_finished() {
        assert!(block.nfe() < config.steps, "every block ends in time");
        let prediction = toy.predict(&[&block]).unwrap().remove(0);
        let report = block.advance(prediction).unwrap();
        for (position, level) in block.state().levels.iter().enumerate() {
            if !report.reabsorbed.contains(&position) {
                assert!(level.snr() >= before[position], "position {position} lost evidence");
            }
            let soft = matches!(level, Level::Soft(_));
            assert!(!soft || config.process.is_soft());
            assert_eq!(*level == Level::Anchor, block.state().tokens[position].is_some());
        }
        before = block.state().levels.iter().map(|l| l.snr()).collect();
    }
    assert!(before.iter().all(|s| *s == f64::INFINITY));
    assert_eq!(block.advance(Prediction::default()), Err(Error::Finished));
}

fn check_commitments_hold(config: &SamplerConfig) {
    let (texts, reports, _) = run(config, 0..1);
    let mut known: Vec<Option<u32>> = tokens();
    for (_, report) in &reports {
        for choice in &report.committed {
            assert_eq!(known[choice.position].replace(choice.token), None, "committed twice");
        }
        report.reabsorbed.iter().for_each(|p| known[*p] = None);
    }
    assert!(known.iter().zip(&texts[0]).all(|(a, b)| *a == Some(*b)));
    PINNED.iter().for_each(|(p, t)| assert_eq!(texts[0][*p], *t, "pinned"));
    let reabsorbed: usize = reports.iter().map(|(_, r)| r.reabsorbed.len()).sum();
    assert!(reabsorbed == 0 || config.reabsorb.is_some());
}

fn check_batch_mates_do_not_matter(config: &SamplerConfig) {
    let (together, _, _) = run(config, 0..8);
    for (request, text) in together.iter().enumerate() {
        let alone = run(config, request as u64..request as u64 + 1).0;
        assert_eq!(&alone[0], text, "request {request}");
    }
    assert!(
        together.iter().any(|t| *t != together[0]),
        "requests differ by their noise"
    );
    assert_eq!(together, run(config, 0..8).0, "runs repeat");
}

fn check_interleaving(config: &SamplerConfig) {
    // One request runs two steps ahead of the other.
    let (mut a, mut b) = (start(config, 1), start(config, 2));
    let mut toy = Toy::default();
    let mut turn = 0;
    while !(a.is_finished() && b.is_finished()) {
        for block in if turn < 2 { vec![&mut a] } else { vec![&mut a, &mut b] } {
            if !block.is_finished() {
                let prediction = toy.predict(&[block]).unwrap().remove(0);
                block.advance(prediction).unwrap();
            }
        }
        turn += 1;
    }
    let expected = run(config, 1..3).0;
    for (block, text) in [a, b].iter().zip(expected) {
        assert!(block.state().tokens.iter().zip(text).all(|(t, e)| *t == Some(e)));
    }
}

macro_rules! battery {
    ($($name:ident => $config:expr),+ $(,)?) => { $(
        mod $name {
            use super::*;

            #[test]
            fn one_step_works() { check_one_step(&$config); }
            #[test]
            fn levels_rise_to_the_end() { check_levels_rise(&$config); }
            #[test]
            fn commitments_hold() { check_commitments_hold(&$config); }
            #[test]
            fn batch_mates_do_not_matter() { check_batch_mates_do_not_matter(&$config); }
            #[test]
            fn interleaving_changes_nothing() { check_interleaving(&$config); }
        }
    )+ };
}

fn gaussian(solver: SolverConfig) -> SamplerConfig {
    SamplerConfig {
        process: Process::Gaussian,
        solver,
        steps: 9,
        score_temperature: 0.9,
        ..SamplerConfig::plain()
    }
}

fn soft(solver: SolverConfig) -> SamplerConfig {
    let commit = CommitSchedule::Confidence;
    SamplerConfig {
        process: Process::SoftAbsorbing,
        solver,
        commit,
        steps: 8,
        ..SamplerConfig::plain()
    }
}

fn hybrid(commit: CommitSchedule) -> SamplerConfig {
    SamplerConfig {
        process: Process::Hybrid,
        commit,
        steps: 9,
        ..SamplerConfig::plain()
    }
}

fn absorbing(commit: CommitSchedule) -> SamplerConfig {
    let sampling = SamplingConfig {
        temperature: 0.9,
        top_p: 0.95,
    };
    SamplerConfig {
        commit,
        sampling,
        steps: 5,
        ..SamplerConfig::plain()
    }
}

battery! {
    ddim => gaussian(SolverConfig::Ddim),
    dpmpp_2m => gaussian(SolverConfig::Dpmpp2m),
    dpmpp_3m => gaussian(SolverConfig::Dpmpp3m),
    sde_1 => gaussian(SolverConfig::Sde1),
    sde_2m => gaussian(SolverConfig::Sde2m),
    sde_3m => gaussian(SolverConfig::Sde3m),
    soft_dpmpp_2m => soft(SolverConfig::Dpmpp2m),
    soft_dpmpp_3m => soft(SolverConfig::Dpmpp3m),
    soft_sde_2m => soft(SolverConfig::Sde2m),
    soft_reabsorbing => SamplerConfig {
        reabsorb: Some(ReabsorbConfig { below: 0.9, per_step: 2 }),
        ..soft(SolverConfig::Dpmpp2m)
    },
    hybrid => hybrid(CommitSchedule::Spread),
    hybrid_by_confidence => hybrid(CommitSchedule::Confidence),
    hybrid_from_the_start => SamplerConfig {
        guidance: GuidanceConfig { anchor_after: 0.0, ..GuidanceConfig::default() },
        ..hybrid(CommitSchedule::Random)
    },
    hybrid_reabsorbing => SamplerConfig {
        reabsorb: Some(ReabsorbConfig { below: 0.9, per_step: 2 }),
        steps: 12,
        ..hybrid(CommitSchedule::Confidence)
    },
    random => absorbing(CommitSchedule::Random),
    spread => absorbing(CommitSchedule::Spread),
    confidence => absorbing(CommitSchedule::Confidence),
    margin => absorbing(CommitSchedule::Margin),
    entropy => absorbing(CommitSchedule::Entropy),
    entropy_bound => absorbing(CommitSchedule::EntropyBound { bound: 2.0 }),
    threshold => absorbing(CommitSchedule::Threshold { above: 0.7 }),
    cosine_pace => SamplerConfig { pace: Pace::Cosine, ..absorbing(CommitSchedule::Random) },
    extrapolated => SamplerConfig { extrapolate: true, ..absorbing(CommitSchedule::Random) },
    more_steps_than_positions => SamplerConfig { steps: 40, ..absorbing(CommitSchedule::Random) },
    reabsorbing => SamplerConfig {
        reabsorb: Some(ReabsorbConfig { below: 0.9, per_step: 2 }),
        steps: 9,
        ..absorbing(CommitSchedule::Confidence)
    },
}

#[test]
fn evaluations_are_counted() {
    assert_eq!(run(&gaussian(SolverConfig::Dpmpp2m), 0..1).2, 9);
    assert_eq!(
        run(&absorbing(CommitSchedule::Random), 0..3).2,
        5,
        "one call serves the batch"
    );
    let many = SamplerConfig {
        steps: 40,
        ..absorbing(CommitSchedule::Random)
    };
    assert_eq!(
        run(&many, 0..1).2,
        N - PINNED.len(),
        "an absorbing block never needs more steps than positions"
    );
    let adaptive = absorbing(CommitSchedule::EntropyBound { bound: 1e9 });
    assert_eq!(run(&adaptive, 0..1).2, 1, "everything fits the bound");
    let sure = absorbing(CommitSchedule::Threshold { above: 0.0 });
    assert_eq!(run(&sure, 0..1).2, 1, "everything is surer than nothing");
}

#[test]
fn doubtful_positions_are_opened_again_once() {
    let config = SamplerConfig {
        reabsorb: Some(ReabsorbConfig {
            below: 1.0,
            per_step: 1,
        }),
        steps: 9,
        ..absorbing(CommitSchedule::Random)
    };
    let (_, reports, _) = run(&config, 0..1);
    let opened: Vec<usize> = reports.iter().flat_map(|(_, r)| r.reabsorbed.clone()).collect();
    assert!(opened.len() > 3);
    let mut once = opened.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), opened.len());
    assert!(PINNED.iter().all(|(p, _)| !opened.contains(p)));
}

#[test]
fn sure_positions_run_ahead_on_the_soft_path() {
    let config = SamplerConfig {
        steps: 12,
        guidance: GuidanceConfig {
            kappa: 0.5,
            boost: 1.0,
            anchor_after: 0.5,
            ..GuidanceConfig::default()
        },
        ..soft(SolverConfig::Dpmpp2m)
    };
    let mut block = start(&config, 3);
    let mut spread = false;
    let mut anchored_early = false;
    while !block.is_finished() {
        let prediction = predict(&block).unwrap();
        let report = block.advance(prediction).unwrap();
        let soft: Vec<f64> = block
            .state()
            .levels
            .iter()
            .map(|l| l.snr())
            .filter(|s| s.is_finite())
            .collect();
        spread |= soft.iter().any(|s| *s > 1.5 * soft[0] || *s < soft[0] / 1.5);
        anchored_early |= block.nfe() <= 6 && !report.committed.is_empty();
    }
    assert!(spread, "levels differ between positions");
    assert!(!anchored_early, "no anchors in the first half");
}

#[test]
fn predictions_that_do_not_fit_are_refused() {
    let mut block = start(&gaussian(SolverConfig::Ddim), 0);
    let good = predict(&block).unwrap();
    assert!(matches!(
        block.advance(Prediction {
            logits: vec![0.0; 3],
            ..good.clone()
        }),
        Err(Error::Shape { .. })
    ));
    assert!(matches!(
        block.advance(Prediction {
            data: vec![],
            ..good.clone()
        }),
        Err(Error::Shape { .. })
    ));
    let broken = Prediction {
        logits: vec![f32::NAN; good.logits.len()],
        ..good.clone()
    };
    assert_eq!(block.advance(broken), Err(Error::BadLogits { position: 0 }));
    let broken = Prediction {
        data: vec![f64::NAN; good.data.len()],
        ..good.clone()
    };
    assert!(block.advance(broken).is_err());
    assert_eq!(block.nfe(), 0);
    block.advance(good).unwrap();
}

#[test]
fn configuration_is_strict() {
    let config: SamplerConfig = serde_json::from_str(
        r#"{"process":"soft_absorbing","solver":"sde-2m","commit":{"type":"entropy_bound","bound":0.3},"pace":"cosine"}"#,
    )
    .unwrap();
    assert_eq!(config.process, Process::SoftAbsorbing);
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<SamplerConfig>(&text).unwrap(), config);
    assert!(serde_json::from_str::<SamplerConfig>(r#"{"solver":"dpm"}"#).is_err());
    assert!(serde_json::from_str::<SamplerConfig>(r#"{"step":3}"#).is_err());
    let zero = SamplerConfig {
        steps: 0,
        ..SamplerConfig::plain()
    };
    assert!(
        zero.validate()
            .unwrap_err()
            .to_string()
            .contains("steps is 0; it must be at least 1")
    );
}
