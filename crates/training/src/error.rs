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
    #[error("training diverged at step {step} ({reason}); {remedy}", remedy = after_divergence(.checkpoint))]
    Diverged {
        /// Step at which it was noticed.
        step: u64,
        /// What was seen.
        reason: String,
        /// Step of the checkpoint in the folder, if there is one.
        checkpoint: Option<u64>,
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
    /// Weights that a new run would overwrite.
    #[error(
        "{weights} would be overwritten, for the state to go on from, {state}, is missing; train on from these weights with `--from {folder}` and another `-o`",
        weights = .weights.display(), state = crate::TRAINING_FILE, folder = .folder.display()
    )]
    NoState {
        /// The weights.
        weights: PathBuf,
        /// The folder that they are in.
        folder: PathBuf,
    },
    /// A file or folder that cannot be written.
    #[error(transparent)]
    Files(#[from] drdiff_files::Error),
    /// The corpus failed.
    #[error(transparent)]
    Data(#[from] drdiff_data::DataError),
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

impl Error {
    /// Whether nothing went wrong but a flag was set.
    pub(crate) fn is_stop(&self) -> bool {
        use drdiff_kernels::Error as Kernels;
        use drdiff_model::Error as Model;
        matches!(
            self,
            Self::Kernels(Kernels::Stopped) | Self::Model(Model::Kernels(Kernels::Stopped))
        )
    }
}

/// What can be done about a divergence.
fn after_divergence(checkpoint: &Option<u64>) -> String {
    match checkpoint {
        Some(step) => {
            format!("the last good checkpoint is that of step {step}: resume from it with a lower learning rate")
        }
        None => "there is no checkpoint of this run yet: begin again with a lower learning rate".to_owned(),
    }
}

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
