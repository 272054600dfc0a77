//! The teacher at work: from a batch to what the student shall predict.

use candle_core::{DType, Device, Tensor};
use drdiff_kernels::{SoftTarget, categorical, mixture};
use drdiff_model::{Layout, Network, NoisedInput, Soft, Tables};
use drdiff_routing::Read;

use super::Lesson;
use super::commits::Commits;
use super::path::Path;
use crate::Result;

/// What the student shall predict at the open rows, in their order. Tokens and states stay on the device.
///
/// # Errors
/// If an operation fails.
pub(crate) fn teach(
    teacher: &Network,
    tables: &Tables,
    rows: &NoisedInput,
    lesson: &Lesson,
    layout: &Layout<'_>,
) -> Result<SoftTarget> {
    let work = Work {
        teacher,
        tables,
        rows,
        layout,
    };
    let parts = match lesson {
        Lesson::Absorbing(commits) => work.commit(commits)?,
        Lesson::Gaussian(path) | Lesson::Consistency(path) => work.walk(path)?,
    };
    Ok(SoftTarget {
        parts,
        table: tables.head().tensor().clone(),
        bias: teacher.bias().clone(),
    })
}

struct Work<'a> {
    teacher: &'a Network,
    tables: &'a Tables,
    rows: &'a NoisedInput,
    layout: &'a Layout<'a>,
}

impl Work<'_> {
    fn device(&self) -> &Device {
        self.teacher.device()
    }

    /// Evidence at some open rows.
    fn predict(&self, rows: &NoisedInput) -> Result<Tensor> {
        let (_, evidence) = rows.run(self.teacher, self.tables, self.layout, &mut Default::default())?;
        Ok(evidence.tensor().clone())
    }

    fn commit(&self, commits: &Commits) -> Result<Vec<(Tensor, Tensor)>> {
        let device = self.device();
        let vector = |values: &[u32]| Tensor::from_slice(values, values.len(), device);
        let mut rows = self.rows.clone();
        let mut reading = vec![rows.input.index.clone()];
        let mut predictions = Vec::new();
        for (pass, kept) in commits.kept.iter().enumerate() {
            rows.input.read = Read::Rows(self.rows.open.index_select(&vector(kept)?, 0)?);
            let h = self.predict(&rows)?;
            if let Some(draws) = commits.draws.get(pass) {
                let u = Tensor::from_slice(draws, draws.len(), device)?;
                let colder = |logits: &Tensor| logits.affine(commits.temperature.recip(), 0.0);
                let (cold, bias) = (colder(&h)?, colder(self.teacher.bias())?);
                reading.push(categorical(&cold, self.tables.head().tensor(), &bias, &u)?);
                rows.input.index = Tensor::cat(&reading, 0)?.index_select(&vector(&commits.picks[pass])?, 0)?;
                rows.move_to(self.teacher, &commits.levels[pass])?;
            }
            predictions.push(h);
        }
        let h = Tensor::cat(&predictions, 0)?.index_select(&vector(&commits.order)?, 0)?;
        let whole = Tensor::ones(commits.order.len(), DType::F32, device)?;
        Ok(vec![(h, whole)])
    }

    fn walk(&self, path: &Path) -> Result<Vec<(Tensor, Tensor)>> {
        let device = self.device();
        let mut rows = self.rows.clone();
        let mut parts = Vec::new();
        for (pass, shares) in path.shares.iter().enumerate() {
            let h = self.predict(&rows)?;
            if let (Some(step), Some(soft)) = (path.moves.get(pass), &rows.input.soft) {
                let column = |values: &[f32]| Tensor::from_slice(values, (values.len(), 1), device);
                let x_hat = mixture(&h, self.tables.head().tensor(), self.teacher.bias())?;
                let kept = soft.evidence.broadcast_mul(&column(&step.keep)?)?;
                rows.input.soft = Some(Soft::new((kept + x_hat.broadcast_mul(&column(&step.gain)?)?)?)?);
                rows.move_to(self.teacher, &path.levels[pass])?;
            }
            if let Some(shares) = shares {
                parts.push((h, Tensor::from_slice(shares, shares.len(), device)?));
            }
        }
        Ok(parts)
    }
}
