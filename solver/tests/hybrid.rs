//! Continuous first, discrete last: where the two meet, and what stays as it is from there on.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use common::{N, PINNED, assert_sparing, predict, run, start};
use drdiff_diffusion::Level;
use drdiff_solver::{
    BlockRun, BlockState, CommitSchedule, GuidanceConfig, Process, ReabsorbConfig, SamplerConfig, StepReport,
};

const STEPS: usize = 10;

/// The first four of ten steps are continuous.
fn config(process: Process, anchor_after: f64) -> SamplerConfig {
    SamplerConfig {
        process,
        steps: STEPS,
        guidance: GuidanceConfig {
            anchor_after,
            // What only the soft absorbing process reads.
            kappa: 0.5,
            gate: 0.1,
            boost: 1.0,
        },
        ..SamplerConfig::plain()
    }
}

/// The states that the network sees, one for each step, and the reports of the steps.
fn states(mut block: BlockRun) -> (Vec<BlockState>, Vec<StepReport>) {
    let (mut states, mut reports) = (Vec::new(), Vec::new());
    while !block.is_finished() {
        states.push(block.state().clone());
        reports.push(block.advance(predict(&block).unwrap()).unwrap());
    }
    (states, reports)
}

#[test]
fn levels_rise_as_in_the_gaussian_process_and_are_constant_after_the_switch() {
    let (hybrid, reports) = states(start(&config(Process::Hybrid, 0.4), 1));
    let (gaussian, _) = states(start(&config(Process::Gaussian, 0.4), 1));
    assert_eq!(
        hybrid[..=4],
        gaussian[..=4],
        "the first part is the gaussian process, bit for bit"
    );
    assert!(reports[..4].iter().all(|report| report.committed.is_empty()));
    let frozen = &hybrid[4];
    for (state, report) in hybrid.iter().zip(&reports).skip(4) {
        assert!(!report.committed.is_empty(), "one after another");
        for position in 0..N {
            let evidence = |state: &BlockState| state.evidence[position * state.dim..][..state.dim].to_vec();
            if state.tokens[position].is_none() {
                assert_eq!(state.levels[position], frozen.levels[position]);
                assert_eq!(evidence(state), evidence(frozen));
            } else {
                assert_eq!(state.levels[position], Level::Anchor);
            }
        }
    }
    assert!(matches!(frozen.levels[0], Level::Soft(snr) if snr > 0.0));
}

#[test]
fn it_lies_between_the_gaussian_process_and_committing_from_the_start() {
    let texts = |process, anchor_after| run(&config(process, anchor_after), 0..4).0;
    assert_eq!(texts(Process::Hybrid, 1.0), texts(Process::Gaussian, 1.0));
    let reports = run(&config(Process::Hybrid, 0.0), 0..1).1;
    assert_eq!(reports[0].1.committed.len(), 1, "10 open positions in 10 steps");
    assert_eq!(reports.len(), N - PINNED.len());
}

#[test]
fn a_sparing_block_asks_for_data_alone_while_levels_rise_and_then_for_what_it_commits() {
    let config = SamplerConfig {
        commit: CommitSchedule::Spread,
        ..config(Process::Hybrid, 0.4)
    };
    assert_sparing(&config, 2, |sparing, committed| {
        let (rises, asked, read) = (sparing.needs_data(), sparing.asked(), sparing.read());
        assert_eq!(rises, sparing.nfe() < 4);
        assert_eq!(read, if rises { sparing.open() } else { asked.clone() });
        assert_eq!(asked.len(), committed.len());
    });
}

#[test]
fn a_position_that_is_opened_again_has_the_evidence_that_it_had() {
    let config = SamplerConfig {
        reabsorb: Some(ReabsorbConfig {
            below: 1.0,
            per_step: 1,
        }),
        ..config(Process::Hybrid, 0.4)
    };
    let (states, reports) = states(start(&config, 3));
    let mut opened = 0;
    for (after, report) in states.iter().skip(1).zip(&reports) {
        for position in &report.reabsorbed {
            let span = position * after.dim..(position + 1) * after.dim;
            assert_eq!(after.levels[*position], states[4].levels[*position]);
            assert_eq!(after.evidence[span.clone()], states[4].evidence[span]);
            opened += 1;
        }
    }
    assert!(opened > 2, "{opened}");
}
