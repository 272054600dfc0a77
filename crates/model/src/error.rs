//! What can go wrong with models and their files.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} {path}: {source}", path = .path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason given by the system.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} is not a usable {expected}: {reason}; fetch it again or name another file", path = .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was expected in it.
        expected: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The tensors of a file do not fit the configuration.
    #[error("the weights do not fit the model's configuration: {0}")]
    Mismatch(String),
    /// A configuration that no network can have.
    #[error("the model configuration is impossible: {0}")]
    Config(String),
    /// What was asked for cannot be measured of this network or this text.
    #[error("{0}")]
    Measure(String),
    /// Levels could not be drawn.
    #[error(transparent)]
    Diffusion(#[from] drdiff_diffusion::Error),
    /// A network without masks that is to learn or be measured as one that has them.
    #[error(
        "the training configuration is wrong: the model reads text token by token and knows no masks; name a diffusion model here"
    )]
    NoMasks,
    /// The tokenizer is not the one that the model was trained with.
    #[error(
        "the tokenizer does not belong to this model (hash {found}, the model wants {wanted}); use the tokenizer.json beside the weights"
    )]
    WrongTokenizer {
        /// blake3 of the tokenizer at hand.
        found: String,
        /// blake3 that the model names.
        wanted: String,
    },
    /// A tokenizer file is wrong, or a text cannot be encoded.
    #[error(transparent)]
    Tokenizer(#[from] drdiff_data::TokenizerError),
    /// A file could not be written.
    #[error(transparent)]
    Files(#[from] drdiff_files::Error),
    /// An error of the kernels.
    #[error(transparent)]
    Kernels(#[from] drdiff_kernels::Error),
    /// An error of the attention layer.
    #[error(transparent)]
    Attention(#[from] drdiff_attention::Error),
    /// An error of the routed layers.
    #[error(transparent)]
    Routing(#[from] drdiff_routing::Error),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
