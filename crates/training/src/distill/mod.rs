//! Learning to write in fewer steps from one's own earlier self.
//!
//! A run is a row of rounds. In each, a frozen copy of the network, the teacher, makes several small steps of sampling where the
//! student, which is still being trained, will make one; the student learns to predict at once what the teacher knew in the end.
//! Then the student becomes the teacher of the next round, whose steps are larger.
//!
//! - Absorbing positions: self-distillation through time (Deschenaux and Gulcehre, arXiv 2410.21035), see [`commits`].
//! - Soft positions: progressive distillation (Salimans and Ho, arXiv 2202.00512) of the data prediction, see [`path`].
//! - Consistency between neighbouring noise levels, with the moving average of the weights as teacher, see [`path`].
//! - Consistency between nested masks of the true text, with the same teacher, see [`reveal`].

mod commits;
mod config;
mod draw;
mod lesson;
mod path;
mod stage;
mod student;
mod teach;
mod teacher;
#[cfg(test)]
mod tests;

pub use config::{DistillConfig, DistillLoss, LessonShares, Refresh, TeacherOrder};
pub(crate) use draw::draw;
pub(crate) use lesson::Lesson;
use student::learn;
use teach::teach;
pub(crate) use teacher::Teacher;
