//! What a sampler asks of a network.

use crate::error::Error;
use crate::report::StepReport;
use crate::run::BlockRun;

/// What the network says about positions of one block.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prediction {
    /// `[asked, vocabulary]`, in the order of [`BlockRun::asked`]; negative infinity bans a token.
    pub logits: Vec<f32>,
    /// Data predictions `x_hat = p E`, `[open, dim]`, in the order of [`BlockRun::open`]; may be empty unless [`BlockRun::needs_data`].
    pub data: Vec<f64>,
}

/// A network, or a closed form that stands in for one.
pub trait Denoiser {
    /// Its errors, which include the solver's own.
    type Error: From<Error>;

    /// Predicts every block of a batch from its state alone. The answer for one block must not depend on the others.
    ///
    /// # Errors
    /// Whatever the network may meet.
    fn predict(&mut self, blocks: &[&BlockRun]) -> Result<Vec<Prediction>, Self::Error>;
}

/// Runs a batch of blocks to their ends with one prediction a step for all that are unfinished, and shows every
/// report, with the index of its run, to `watch`.
///
/// # Errors
/// The first error of the denoiser or of a run.
pub fn drive<D: Denoiser>(
    denoiser: &mut D,
    runs: &mut [BlockRun],
    mut watch: impl FnMut(usize, &StepReport),
) -> Result<(), D::Error> {
    loop {
        let active: Vec<usize> = (0..runs.len()).filter(|i| !runs[*i].is_finished()).collect();
        if active.is_empty() {
            return Ok(());
        }
        let blocks: Vec<&BlockRun> = active.iter().map(|i| &runs[*i]).collect();
        let predictions = denoiser.predict(&blocks)?;
        crate::error::require_len("batch of predictions", predictions.len(), active.len())?;
        for (index, prediction) in active.into_iter().zip(predictions) {
            let report = runs[index].advance(prediction)?;
            watch(index, &report);
        }
    }
}
