//! One forward pass of distillation, as it was drawn on the host.

use super::commits::Commits;
use super::path::Path;

/// What the teacher does with a batch.
#[derive(Debug, Clone)]
pub(crate) enum Lesson {
    /// It commits absorbed positions.
    Absorbing(Commits),
    /// It moves soft positions.
    Gaussian(Path),
    /// The average of the weights moves soft positions to the next anchor.
    Consistency(Path),
}
