//! What can go wrong with features.

use std::io;
use std::path::PathBuf;

/// Errors of features: one sentence each, with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeatureError {
    /// A file of the model could not be read.
    #[error("cannot read {path}: {source}; name a folder with config.json, tokenizer.json and model.safetensors of all-MiniLM-L6-v2", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason given by the system.
        source: io::Error,
    },
    /// The folder holds something else.
    #[error("{folder} cannot make features ({reason}); name a folder with config.json, tokenizer.json and model.safetensors of all-MiniLM-L6-v2", folder = .folder.display())]
    Model {
        /// The folder.
        folder: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The model failed at a text.
    #[error("{name} cannot read a text: {reason}")]
    Text {
        /// The model's name.
        name: String,
        /// What went wrong.
        reason: String,
    },
}
