//! What can go wrong with a sweep.

use std::io;
use std::path::PathBuf;

use crate::batch::BatchError;

/// Errors of sweeps: one sentence each, with what to do. Texts that are written are kept by all of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// A sweep that cannot be done as it is written.
    #[error("{0}")]
    Config(String),
    /// A file could not be read or written.
    #[error("cannot {action} {path}: {source}; check the path and the room on the disk, what is finished is kept", path = .path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason given by the system.
        source: io::Error,
    },
    /// The table cannot be written as Parquet.
    #[error("cannot write the table as Parquet: {0}; results.csv holds the same rows")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// A text cannot be measured.
    #[error(transparent)]
    Evaluation(Box<drdiff_evaluation::Error>),
    /// A file that is not to be used, or the lock.
    #[error(transparent)]
    Files(#[from] drdiff_files::Error),
    /// The journal.
    #[error(transparent)]
    Journal(Box<BatchError>),
    /// Writing text failed.
    #[error(transparent)]
    Generation(Box<drdiff_generation::Error>),
    /// A prompt cannot be encoded.
    #[error(transparent)]
    Tokenizer(#[from] drdiff_data::TokenizerError),
    /// The network or a file of it failed.
    #[error(transparent)]
    Model(#[from] drdiff_model::Error),
    /// The solver refused its settings.
    #[error(transparent)]
    Solver(#[from] drdiff_solver::Error),
}

// Boxed, because they are much larger than the rest.
impl From<BatchError> for SweepError {
    fn from(error: BatchError) -> Self {
        Self::Journal(Box::new(error))
    }
}

impl From<drdiff_generation::Error> for SweepError {
    fn from(error: drdiff_generation::Error) -> Self {
        Self::Generation(Box::new(error))
    }
}

impl From<drdiff_evaluation::Error> for SweepError {
    fn from(error: drdiff_evaluation::Error) -> Self {
        Self::Evaluation(Box::new(error))
    }
}

/// Results of sweeps.
pub type Result<T, E = SweepError> = std::result::Result<T, E>;
