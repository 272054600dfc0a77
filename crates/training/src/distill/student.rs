//! What the student learns from a target.

use drdiff_kernels::{SoftTarget, Tape, Value, mixture};
use drdiff_model::{Layout, Network, NoisedInput};

use super::{DistillConfig, DistillLoss, Lesson};
use crate::Result;
use crate::learned::Learned;

/// The loss of one pass of the student on the rows that the teacher began from, recorded on `tape`:
/// `(1 - plain)` times the distance from the target plus `plain` times the cross-entropy of the true tokens.
///
/// # Errors
/// If an operation fails.
pub(crate) fn learn(
    student: &Network,
    config: &DistillConfig,
    rows: &NoisedInput,
    (lesson, target): (&Lesson, &SoftTarget),
    layout: &Layout<'_>,
    tape: &Tape,
) -> Result<Learned> {
    let tables = student.tables(Some(tape))?;
    let (hidden, h) = rows.run(student, &tables, layout, &mut Default::default())?;
    let distance = match (lesson, config.loss) {
        (Lesson::Consistency(_), _) => Distance::Mean(config.segment),
        (_, DistillLoss::Mse) => Distance::Mean(1),
        (_, DistillLoss::Kl) => Distance::Divergence,
    };
    let distance = match distance {
        Distance::Divergence => h.divergence(tables.head(), student.bias(), target, &rows.weights)?.0,
        Distance::Mean(segment) => {
            let x_hat = h.expectation(tables.head(), student.bias(), &target.table)?;
            squared_distance(&x_hat, target, rows, segment)?
        }
    };
    let distance = distance.through(|x| Ok(x.affine(1.0 - config.plain, 0.0)?))?;
    let mut value = distance;
    if config.plain > 0.0 {
        let (plain, _) = h.cross_entropy(tables.head(), student.bias(), &rows.targets, &rows.weights, None)?;
        value = value.add(&plain.through(|x| Ok(x.affine(config.plain, 0.0)?))?)?;
    }
    Learned::new(&value, &hidden)
}

enum Distance {
    Divergence,
    /// Of embeddings averaged over so many positions.
    Mean(usize),
}

/// Weighted squared distance between mean embeddings `x_hat` (`[open, embed]`, in the target's embedding) and those of the target,
/// averaged over segments of neighbouring rows first: what they share is the drift of the text, not its words.
fn squared_distance(x_hat: &Value, target: &SoftTarget, rows: &NoisedInput, segment: usize) -> Result<Value> {
    let mut wanted = x_hat.tensor().zeros_like()?;
    for (h, share) in &target.parts {
        let x = mixture(h, &target.table, &target.bias)?;
        wanted = (wanted + x.broadcast_mul(&share.unsqueeze(1)?)?)?;
    }
    let weights = rows.weights.reshape(((), segment))?.sum(1)?;
    Ok(x_hat.through(|x| {
        let difference = (x - &wanted)?;
        let width = difference.dim(1)?;
        let means = difference.reshape(((), segment, width))?.mean(1)?;
        Ok((means.sqr()?.sum(1)? * &weights)?.sum_all()?)
    })?)
}
