//! What can go wrong while training.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The training configuration makes no sense.
    #[error("the training configuration is wrong: {0}")]
    Config(String),
    /// A corpus that keeps nothing apart to measure on.
    #[error(
        "the corpus has no text to measure on; to have some, prepare it again with more documents or `--valid FILE`"
    )]
    NoValidationText,
    /// The loss is no longer a number, or has run away.
    #[error(
        "training diverged at step {step} ({reason}); the last good checkpoint is {checkpoint}: resume from it with a lower learning rate"
    )]
    Diverged {
        /// Step at which it was noticed.
        step: u64,
        /// What was seen.
        reason: String,
        /// Where to go on from.
        checkpoint: String,
    },
    /// A checkpoint of another run, or of another shape.
    #[error("{path} does not belong to this run: {reason}", path = .path.display())]
    Resume {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// A log line could not be written.
    #[error("cannot write {path}: {source}", path = .path.display())]
    Log {
        /// The log file.
        path: PathBuf,
        /// The reason given by the system.
        source: std::io::Error,
    },
    /// The corpus failed.
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    /// Levels could not be drawn.
    #[error(transparent)]
    Diffusion(#[from] drdiff_diffusion::Error),
    /// The network or its file failed.
    #[error(transparent)]
    Model(#[from] drdiff_model::Error),
    /// An attention plan could not be made.
    #[error(transparent)]
    Attention(#[from] drdiff_attention::Error),
    /// An operation failed.
    #[error(transparent)]
    Kernels(#[from] drdiff_kernels::Error),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
