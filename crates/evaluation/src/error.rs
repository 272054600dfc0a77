//! What can go wrong when texts are measured.

use std::io;
use std::path::PathBuf;

/// Errors of this crate: one sentence each, with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What was asked for cannot be measured.
    #[error("{0}")]
    Config(String),
    /// A file could not be read.
    #[error("cannot {action} {path}: {source}; check the path and the room on the disk, what is finished is kept", path = .path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason given by the system.
        source: io::Error,
    },
    /// The judge failed at a text.
    #[error("{0}; what is finished is kept")]
    Judge(String),
    /// A file that is not to be used.
    #[error(transparent)]
    Files(#[from] drdiff_files::Error),
    /// A text cannot be encoded.
    #[error(transparent)]
    Tokenizer(#[from] drdiff_data::TokenizerError),
    /// A file of texts cannot be read.
    #[error(transparent)]
    Data(#[from] drdiff_data::DataError),
    /// The network or a file of it failed.
    #[error(transparent)]
    Model(#[from] drdiff_model::Error),
}

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
