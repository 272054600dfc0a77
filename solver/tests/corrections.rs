//! Corrections of a finished block: what they cost, what they leave alone, and that they bring texts nearer to the truth.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use drdiff_noise::{Noise, Purpose};
use drdiff_solver::{
    BlockRun, CommitSchedule, Denoiser, Error, Prediction, SamplerConfig, SamplingConfig, StepReport, Table, draw,
    drive,
};

/// The truth over texts of two letters, by first and second letter.
const JOINT: [[f64; 2]; 2] = [[0.6, 0.05], [0.05, 0.3]];

/// Predicts each letter of pairs exactly from what is known of the other.
struct Pairs;

impl Denoiser for Pairs {
    type Error = Error;

    fn predict(&mut self, blocks: &[&BlockRun]) -> Result<Vec<Prediction>, Error> {
        let letter = |run: &BlockRun, position: usize, letter: usize| {
            let other = run.state().tokens[position ^ 1];
            let row = &JOINT[letter];
            other.map_or(row.iter().sum::<f64>(), |other| row[other as usize])
        };
        let of = |run: &BlockRun| Prediction {
            logits: run
                .asked()
                .into_iter()
                .flat_map(|position| [0, 1].map(|v| letter(run, position, v).ln() as f32))
                .collect(),
            data: Vec::new(),
        };
        Ok(blocks.iter().map(|run| of(run)).collect())
    }
}

fn start(config: &SamplerConfig, request: u64, tokens: &[Option<u32>]) -> BlockRun {
    let table = Table::new(vec![1.0, 0.0, 0.0, 1.0], 2).unwrap();
    BlockRun::new(config.clone(), table, Noise::new(9, request), 64, tokens).unwrap()
}

fn config(steps: usize, corrections: usize) -> SamplerConfig {
    SamplerConfig {
        steps,
        corrections,
        ..SamplerConfig::plain()
    }
}

/// The finished text and the reports of its steps.
fn write(mut run: BlockRun) -> (Vec<u32>, Vec<StepReport>) {
    let mut reports = Vec::new();
    drive(&mut Pairs, std::slice::from_mut(&mut run), |_, report| {
        reports.push(report.clone())
    })
    .unwrap();
    (run.state().tokens.iter().map(|token| token.unwrap()).collect(), reports)
}

#[test]
fn steps_stay_the_number_of_calls() {
    for commit in [
        CommitSchedule::Spread,
        CommitSchedule::Random,
        CommitSchedule::Confidence,
    ] {
        for corrections in 0..10 {
            let config = SamplerConfig {
                commit,
                ..config(8, corrections)
            };
            let (_, reports) = write(start(&config, 0, &[None; 12]));
            assert_eq!(reports.len(), 8, "{corrections} corrections");
            let corrected = reports.iter().filter(|report| !report.reabsorbed.is_empty()).count();
            assert_eq!(corrected, corrections.min(7));
            assert!(reports.iter().rev().skip(1).all(|report| !report.finished));
        }
    }
    // Fewer positions than steps: the block is written early and corrected as often as asked for.
    assert_eq!(write(start(&config(8, 2), 0, &[None; 4])).1.len(), 4 + 2);
    let pinned = start(&config(8, 2), 0, &[Some(1); 4]);
    assert!(pinned.is_finished(), "nothing to write, nothing to correct");
}

#[test]
fn pinned_tokens_are_never_drawn_anew() {
    let tokens = [None, Some(1), None, None, Some(0), None, None, None];
    for request in 0..20 {
        let (text, reports) = write(start(&config(7, 4), request, &tokens));
        assert_eq!((text[1], text[4]), (1, 0));
        let drawn = reports.iter().flat_map(|report| &report.committed);
        assert!(drawn.clone().all(|choice| ![1, 4].contains(&choice.position)));
        // 6 positions in 3 steps: two of them are corrected at a time.
        assert_eq!(drawn.count(), 6 + 4 * 2);
    }
}

#[test]
fn a_draw_is_keyed_by_request_step_and_position_alone() {
    let (_, reports) = write(start(&config(6, 3), 5, &[None; 6]));
    for (step, report) in reports.iter().enumerate() {
        for choice in &report.committed {
            let u = Noise::new(9, 5).uniform(Purpose::Sample, step as u64, 64 + choice.position as u64);
            // The token that was drawn is the one that this number draws from its own probability.
            let first = if choice.token == 0 {
                choice.probability
            } else {
                1.0 - choice.probability
            };
            let row = [first.ln() as f32, (1.0 - first).ln() as f32];
            let again = draw(&row, &SamplingConfig::plain(), u).unwrap();
            assert_eq!(again.token, choice.token, "step {step}");
        }
    }
    let sparing = write(start(&config(6, 3), 5, &[None; 6]).sparing()).1;
    let committed = |reports: &[StepReport]| reports.iter().map(|r| r.committed.clone()).collect::<Vec<_>>();
    assert_eq!(committed(&sparing), committed(&reports));
}

#[test]
fn corrections_bring_the_joint_distribution_nearer_to_the_truth() {
    const TEXTS: u64 = 20_000;
    let distance = |corrections: usize| {
        let mut counts = [[0_u32; 2]; 2];
        for request in 0..TEXTS {
            let (text, _) = write(start(&config(1 + corrections, corrections), request, &[None; 2]));
            counts[text[0] as usize][text[1] as usize] += 1;
        }
        let pairs = counts.iter().flatten().zip(JOINT.iter().flatten());
        0.5 * pairs
            .map(|(count, truth)| (f64::from(*count) / TEXTS as f64 - truth).abs())
            .sum::<f64>()
    };
    let distances = [0, 1, 3].map(distance);
    // Two letters drawn at once are independent: "aa" comes with 0.65 squared.
    assert!(
        (distances[0] - 2.0 * (0.65 * 0.35 - 0.05)).abs() < 0.02,
        "{distances:?}"
    );
    // Their marginals are right, so one step of Gibbs sampling makes the pair right.
    assert!(distances[1..].iter().all(|distance| *distance < 0.02), "{distances:?}");
}
