//! Distillation as the trainer goes through it: rounds, and the loss of a pass.

use candle_core::Tensor;
use drdiff_kernels::Tape;
use drdiff_model::{Layout, NoisedBatch};

use super::{DistillConfig, Lesson, Refresh, Teacher, learn, teach};
use crate::learned::Learned;
use crate::{Result, Trainer};

/// Prefix of the teacher's weights in a checkpoint.
const TEACHER: &str = "teacher";

impl Teacher {
    /// Its weights, as they lie in a checkpoint.
    pub(crate) fn state(&self) -> impl Iterator<Item = (String, Tensor)> + '_ {
        let named = |(name, weight): &(String, Tensor)| (format!("{TEACHER}.{name}"), weight.clone());
        self.weights.iter().map(named)
    }
}

impl Trainer<'_> {
    /// If the next step begins a round of distillation: the steps that its student writes a block in.
    pub(crate) fn begins_round(&self) -> Option<usize> {
        let distill = self.config.distill.as_ref()?;
        let first = self.step.is_multiple_of(distill.round_steps(self.config.steps));
        first.then(|| distill.rounds[distill.round(self.step, self.config.steps)])
    }

    /// Makes the teacher of a round that begins.
    pub(crate) fn refresh_teacher(&mut self) -> Result<()> {
        let Some(distill) = &self.config.distill else {
            return Ok(());
        };
        let round = distill.round(self.step, self.config.steps);
        if self.teacher.as_ref().is_some_and(|teacher| teacher.round == round) {
            return Ok(());
        }
        if distill.refresh == Refresh::Average {
            self.optimizer.adopt_average()?;
        }
        let device = self.network.device();
        self.teacher = Some(Teacher::new(
            round,
            &self.config.model,
            &self.optimizer.weights(),
            device,
        )?);
        Ok(())
    }

    /// Takes the teacher of the last step taken out of a checkpoint, if the run is a distillation that has begun.
    pub(crate) fn restore_teacher(&mut self, take: &mut impl FnMut(&str, &[usize]) -> Result<Tensor>) -> Result<()> {
        let (Some(distill), Some(last)) = (&self.config.distill, self.step.checked_sub(1)) else {
            return Ok(());
        };
        let mut weights = self.optimizer.weights();
        for (name, weight) in &mut weights {
            *weight = take(&format!("{TEACHER}.{name}"), weight.dims())?;
        }
        let round = distill.round(last, self.config.steps);
        let device = self.network.device();
        self.teacher = Some(Teacher::new(round, &self.config.model, &weights, device)?);
        Ok(())
    }

    /// The loss of a pass whose target is made now, by the teacher or by the average of the weights.
    pub(crate) fn taught(
        &self,
        (teacher, distill): (&Teacher, &DistillConfig),
        lesson: &Lesson,
        (batch, layout): (&NoisedBatch, &Layout<'_>),
        tape: &Tape,
    ) -> Result<Learned> {
        let lead = |network| -> Result<_> {
            let network: &drdiff_model::Network = network;
            let tables = network.tables(None)?;
            let rows = batch.place(network, &tables)?;
            let target = teach(network, &tables, &rows, lesson, layout)?;
            Ok((rows, target))
        };
        let (rows, target) = match lesson {
            Lesson::Absorbing(_) | Lesson::Gaussian(_) => lead(&teacher.network)?,
            Lesson::Consistency(_) => self.optimizer.with_average(|| lead(&self.network))?,
        };
        learn(&self.network, distill, &rows, (lesson, &target), layout, tape)
    }
}
