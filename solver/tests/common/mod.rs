//! A closed-form denoiser on blocks with two pinned tokens.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use drdiff_noise::Noise;
use drdiff_solver::{BlockRun, Denoiser, Error, Prediction, SamplerConfig, StepReport, Table, drive};

const V: usize = 7;
const D: usize = 4;
pub(crate) const N: usize = 12;
pub(crate) const PINNED: [(usize, u32); 2] = [(3, 5), (8, 1)];

fn table() -> Table {
    let rows: Vec<f32> = (0..V)
        .flat_map(|v| {
            let row: [f64; D] = std::array::from_fn(|j| ((v * 5 + j * 3) as f64 * 0.9).sin());
            let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            row.map(|x| (x / norm) as f32)
        })
        .collect();
    Table::new(rows, D).unwrap()
}

/// An exact posterior given independent evidence, with anchors that attract their neighbours.
#[derive(Default)]
pub(crate) struct Toy {
    pub(crate) calls: usize,
}

impl Denoiser for Toy {
    type Error = Error;

    fn predict(&mut self, blocks: &[&BlockRun]) -> Result<Vec<Prediction>, Error> {
        self.calls += 1;
        blocks.iter().map(|run| predict(run)).collect()
    }
}

/// The prediction for one block.
pub(crate) fn predict(run: &BlockRun) -> Result<Prediction, Error> {
    let (state, table) = (run.state(), run.table());
    let (mut prediction, asked) = (Prediction::default(), run.asked());
    for position in run.read() {
        let mut logits = Vec::with_capacity(V);
        for v in 0..V as u32 {
            let y = &state.evidence[position * D..][..D];
            let mut logit: f64 = table.row(v)?.iter().zip(y).map(|(e, y)| f64::from(*e) * y).sum();
            for (other, token) in state.tokens.iter().enumerate() {
                if let Some(token) = token {
                    let near = 1.0 / position.abs_diff(other) as f64;
                    logit += 2.0 * near * f64::from(u8::from(*token == v)) + 0.1 * f64::from(v % 3) * near;
                }
            }
            logits.push(logit as f32);
        }
        if run.needs_data() {
            let mut row = [0.0; D];
            table.expectation(&logits, 1.0, &mut row)?;
            prediction.data.extend(row);
        }
        if asked.contains(&position) {
            prediction.logits.extend(logits);
        }
    }
    Ok(prediction)
}

/// The pinned tokens.
pub(crate) fn tokens() -> Vec<Option<u32>> {
    let mut tokens = vec![None; N];
    PINNED.iter().for_each(|(p, t)| tokens[*p] = Some(*t));
    tokens
}

/// A block of a request.
pub(crate) fn start(config: &SamplerConfig, request: u64) -> BlockRun {
    BlockRun::new(
        config.clone(),
        table(),
        Noise::new(5, request),
        100 * request,
        &tokens(),
    )
    .unwrap()
}

/// Runs a block whole and sparing, which move and commit alike. Shows the sparing one as it was before each step, and what the step
/// committed.
pub(crate) fn assert_sparing(config: &SamplerConfig, request: u64, mut see: impl FnMut(&BlockRun, &[usize])) {
    let (mut whole, mut sparing) = (start(config, request), start(config, request).sparing());
    while !whole.is_finished() {
        let before = sparing.clone();
        let (all, few) = (predict(&whole).unwrap(), predict(&sparing).unwrap());
        assert_eq!(all.data, few.data, "{config:?}");
        let (all, few) = (whole.advance(all).unwrap(), sparing.advance(few).unwrap());
        assert_eq!(all.committed, few.committed, "{config:?}");
        assert_eq!(whole.state(), sparing.state(), "{config:?}");
        let committed: Vec<usize> = few.committed.iter().map(|choice| choice.position).collect();
        see(&before, &committed);
    }
    assert!(sparing.is_finished());
}

/// The texts of these requests, every report with the index of its run, and the calls that served them all.
pub(crate) fn run(
    config: &SamplerConfig,
    requests: std::ops::Range<u64>,
) -> (Vec<Vec<u32>>, Vec<(usize, StepReport)>, usize) {
    let mut runs: Vec<BlockRun> = requests.map(|r| start(config, r)).collect();
    let mut reports = Vec::new();
    let mut toy = Toy::default();
    drive(&mut toy, &mut runs, |i, report| reports.push((i, report.clone()))).unwrap();
    let texts = runs
        .iter()
        .map(|r| r.state().tokens.iter().map(|t| t.unwrap()).collect())
        .collect();
    (texts, reports, toy.calls)
}
