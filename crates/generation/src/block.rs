//! The block of a sequence that is denoised.

use drdiff_model::LastRow;
use drdiff_noise::Noise;
use drdiff_solver::{BlockRun, Prediction, StepReport, Table};

use crate::compute::difficulty;
use crate::{Request, Result, Task};

/// A block, and what the last step found of it.
pub(crate) struct Block {
    /// Counted from 0.
    pub(crate) number: usize,
    pub(crate) run: BlockRun,
    /// What the last step predicted, by position, for self-conditioning.
    pub(crate) predictions: Vec<Option<LastRow>>,
    /// How hard the last prediction found the open positions, in `[0, 1]`.
    pub(crate) difficulty: f64,
}

impl Block {
    /// The block `number` of a request: `canvas`, behind the prompt and what has been `written`, of which all open positions are
    /// predicted in every step or those that it needs.
    pub(crate) fn new(
        number: usize,
        (request, table): (&Request, &Table),
        written: &[u32],
        canvas: &[Option<u32>],
        predicts_all: bool,
    ) -> Result<Self> {
        let noise = Noise::new(request.settings.seed, request.id);
        let sampler = request.settings.sampler.clone();
        let prompt = match &request.task {
            Task::Continue(prompt) => prompt.ids.as_slice(),
            Task::Infill(_) => &[],
        };
        let before = prompt.len() + written.len();
        let text = prompt.iter().chain(written);
        let recent = text
            .skip(before.saturating_sub(sampler.frequency.window))
            .copied()
            .collect();
        let run = BlockRun::new(sampler, table.clone(), noise, before as u64, canvas)?.behind(recent);
        Ok(Self {
            number,
            run: if predicts_all { run } else { run.sparing() },
            predictions: vec![None; canvas.len()],
            difficulty: 1.0,
        })
    }

    /// Its positions.
    pub(crate) fn len(&self) -> usize {
        self.predictions.len()
    }

    /// Remembers what was predicted for the open positions, for the next step to read; `entropies` of them, or none.
    pub(crate) fn remember(&mut self, prediction: &Prediction, entropies: &[f32]) {
        let data = prediction.data.chunks_exact(self.run.state().dim).enumerate();
        for (position, (at, x_hat)) in self.run.open().into_iter().zip(data) {
            self.predictions[position] = Some(LastRow {
                x_hat: x_hat.to_vec(),
                entropy: entropies.get(at).copied().unwrap_or_default(),
            });
        }
    }

    /// Moves on by a prediction, which found the open positions to have these `entropies`, if any: those count that stay open.
    pub(crate) fn advance(&mut self, prediction: Prediction, entropies: &[f32]) -> Result<StepReport> {
        let open = self.run.open();
        let report = self.run.advance(prediction)?;
        let left = self.run.open();
        let still = open
            .iter()
            .zip(entropies)
            .filter(|(position, _)| left.contains(position));
        let (count, sum) = still.fold((0, 0.0), |(count, sum), (_, entropy)| {
            (count + 1, sum + difficulty(*entropy))
        });
        if count > 0 {
            self.difficulty = sum / f64::from(count);
        }
        Ok(report)
    }
}
