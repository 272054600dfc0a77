//! What a distillation is made of.

use serde::{Deserialize, Serialize};

use crate::range::{self, Range, at_least_one};
use crate::{Error, Result};

/// How far the student's prediction is from the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DistillLoss {
    /// Kullback-Leibler divergence from the student's distribution to the target, in nats.
    #[default]
    Kl,
    /// Squared distance of the mean embeddings under both, in the teacher's embedding.
    Mse,
}

/// Who teaches the next round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refresh {
    /// The moving average of the student's weights, from which the student goes on, too.
    #[default]
    Average,
    /// The student's weights as they are.
    Student,
}

/// The order in which the teacher of absorbing lessons commits positions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TeacherOrder {
    /// Uniformly random.
    #[default]
    Random,
    /// Far from each other, as the default commit schedule writes.
    Spread,
}

/// Relative weights of the kinds of lesson; drawn once for each forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LessonShares {
    /// The teacher commits absorbed positions in several steps.
    pub absorbing: f64,
    /// The teacher moves soft positions by several steps of the deterministic solver.
    pub gaussian: f64,
    /// The average of the weights predicts one solver step nearer to the text.
    pub consistency: f64,
}

impl Default for LessonShares {
    /// The process that the model mostly learned.
    fn default() -> Self {
        Self {
            absorbing: 1.0,
            gaussian: 0.0,
            consistency: 0.0,
        }
    }
}

/// A distillation. Each round takes an equal part of the run's `steps`, with a warm-up and a decay of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DistillConfig {
    /// Steps that the student of each round takes for a block (or for the whole path of a soft position).
    pub rounds: Vec<usize>,
    /// Steps that the teacher takes for one of the student's.
    pub teacher_steps: usize,
    /// Which positions the teacher commits first.
    pub order: TeacherOrder,
    /// Logits are divided by it before the teacher draws tokens, above 0; targets keep temperature 1.
    pub temperature: f64,
    /// What is minimised.
    pub loss: DistillLoss,
    /// Share of plain cross-entropy on the true tokens in the loss, in `[0, 1)`.
    pub plain: f64,
    /// Who teaches the next round.
    pub refresh: Refresh,
    /// Kinds of lesson.
    pub lessons: LessonShares,
    /// Times of the schedule between which consistency is asked for, falling; 1 is noise.
    pub anchors: Vec<f64>,
    /// Positions over which embeddings are averaged before consistency compares them; 1 compares each.
    pub segment: usize,
}

impl Default for DistillConfig {
    fn default() -> Self {
        Self {
            rounds: vec![32, 16, 8, 4],
            teacher_steps: 2,
            order: TeacherOrder::default(),
            temperature: 1.0,
            loss: DistillLoss::default(),
            plain: 0.1,
            refresh: Refresh::default(),
            lessons: LessonShares::default(),
            anchors: vec![0.8, 0.6, 0.4, 0.2],
            segment: 32,
        }
    }
}

impl DistillConfig {
    /// Checks what would otherwise teach wrongly in silence, for a run of `steps` steps on windows of `context` tokens whose
    /// weights are averaged with decay `ema`.
    ///
    /// # Errors
    /// Names the first setting that makes no sense.
    pub fn validate(&self, steps: u64, context: usize, ema: f64) -> Result<()> {
        let wrong = |what: String| Err(Error::Config(what));
        let rounds = self.rounds.len();
        if rounds == 0 || self.rounds.contains(&0) {
            return wrong(
                "`distill.rounds` needs a list of step counts of at least 1, such as [32, 16, 8, 4]".to_owned(),
            );
        }
        if !steps.is_multiple_of(rounds as u64) {
            return wrong(format!(
                "`steps` is {steps} for {rounds} rounds of equal length; give a multiple of {rounds}"
            ));
        }
        at_least_one("distill.teacher_steps", self.teacher_steps as u64)?;
        Range::Positive.check("distill.temperature", self.temperature)?;
        Range::Part.check("distill.plain", self.plain)?;
        let LessonShares {
            absorbing,
            gaussian,
            consistency,
        } = self.lessons;
        let shares = [absorbing, gaussian, consistency];
        range::weights("distill.lessons", shares.into_iter())?;
        if consistency > 0.0 {
            let falling = self.anchors.windows(2).all(|pair| pair[0] > pair[1]);
            if self.anchors.len() < 2 || !falling || self.anchors.iter().any(|time| !(0.0..=1.0).contains(time)) {
                return wrong("`distill.anchors` needs at least two falling times between 1 and 0".to_owned());
            }
            if self.segment == 0 || !context.is_multiple_of(self.segment) {
                let segment = self.segment;
                return wrong(format!(
                    "`distill.segment` is {segment}; it must divide the context of {context}"
                ));
            }
        }
        if consistency > 0.0 && ema <= 0.0 {
            return wrong(
                "consistency lessons are taught by the moving average of the weights; give `optimizer.ema` above 0"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Steps of each round in a run of `steps`.
    pub fn round_steps(&self, steps: u64) -> u64 {
        (steps / self.rounds.len().max(1) as u64).max(1)
    }

    /// The round, from 0, that step `step` of `steps` belongs to.
    pub fn round(&self, step: u64, steps: u64) -> usize {
        let last = self.rounds.len().saturating_sub(1);
        ((step / self.round_steps(steps)) as usize).min(last)
    }

    /// How many positions of a block of `block_size` a student of `student_steps` commits at once. With fewer positions than the
    /// teacher takes steps there would be nothing to learn, so it is at least as many, if the block has them.
    pub fn span(&self, block_size: usize, student_steps: usize) -> usize {
        block_size
            .div_ceil(student_steps.max(1))
            .max(self.teacher_steps.min(block_size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_share_the_steps_evenly() {
        let config = DistillConfig::default();
        let rounds: Vec<usize> = (0..8).map(|step| config.round(step, 8)).collect();
        assert_eq!(rounds, [0, 0, 1, 1, 2, 2, 3, 3]);
        assert_eq!(config.round(8, 8), 3, "after the last step");
        assert_eq!(config.round_steps(8), 2);
        assert!(config.validate(8, 64, 0.9).is_ok());
        let error = config.validate(9, 64, 0.9).unwrap_err().to_string();
        assert!(error.contains("multiple of 4"), "{error}");
    }

    #[test]
    fn spans_double_from_round_to_round_where_blocks_are_long_enough() {
        let config = DistillConfig::default();
        let spans = |block: usize| -> Vec<usize> { config.rounds.iter().map(|k| config.span(block, *k)).collect() };
        assert_eq!(spans(256), [8, 16, 32, 64]);
        assert_eq!(spans(16), [2, 2, 2, 4]);
        assert_eq!(spans(1), [1, 1, 1, 1]);
        assert_eq!(config.span(10, 4), 3, "a part of a position is a position");
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let message = |change: fn(&mut DistillConfig)| {
            let mut config = DistillConfig::default();
            config.lessons.consistency = 1.0;
            change(&mut config);
            config.validate(8, 64, 0.9).unwrap_err().to_string()
        };
        assert!(message(|c| c.rounds.clear()).contains("distill.rounds"));
        assert!(message(|c| c.teacher_steps = 0).contains("teacher_steps"));
        assert!(message(|c| c.temperature = 0.0).contains("temperature"));
        assert!(message(|c| c.plain = 1.0).contains("plain"));
        assert!(message(|c| c.lessons.gaussian = -1.0).contains("lessons"));
        assert!(message(|c| c.anchors = vec![0.2, 0.4]).contains("anchors"));
        assert!(message(|c| c.segment = 7).contains("segment"));
        let mut config = DistillConfig::default();
        config.lessons.consistency = 1.0;
        let error = config.validate(8, 64, 0.0).unwrap_err().to_string();
        assert!(error.contains("optimizer.ema"), "{error}");
    }
}
