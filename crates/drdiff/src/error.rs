//! What can go wrong for users of the library.

/// Errors of this crate: one sentence each, with the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What was asked for cannot be done with what is there.
    #[error("{0}")]
    Input(String),
    /// A configuration is wrong.
    #[error(transparent)]
    Config(#[from] drdiff_configs::Error),
    /// A tokenizer or a chat template is wrong, or a text cannot be encoded.
    #[error(transparent)]
    Tokenizer(#[from] drdiff_data::TokenizerError),
    /// A model or a file of it is wrong.
    #[error(transparent)]
    Model(#[from] drdiff_model::Error),
    /// A request is impossible, or writing failed.
    #[error(transparent)]
    Generation(Box<drdiff_generation::Error>),
    /// A file that is not to be used, or cannot be written.
    #[error(transparent)]
    Files(#[from] drdiff_files::Error),
    /// Text or a corpus cannot be used.
    #[error(transparent)]
    Data(#[from] drdiff_data::DataError),
    /// Training failed.
    #[error(transparent)]
    Training(Box<drdiff_training::Error>),
    /// The device cannot be had.
    #[error(transparent)]
    Kernels(#[from] drdiff_kernels::Error),
}

// Boxed, because it is much larger than the rest.
impl From<drdiff_generation::Error> for Error {
    fn from(error: drdiff_generation::Error) -> Self {
        Self::Generation(Box::new(error))
    }
}

impl From<drdiff_training::Error> for Error {
    fn from(error: drdiff_training::Error) -> Self {
        Self::Training(Box::new(error))
    }
}

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
