//! Everything that can be wrong with text files and corpora, each with its remedy.

use std::path::{Path, PathBuf};

/// Errors of preparing and reading a corpus. Messages name the file, the line where there is one, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No input at all.
    #[error("no input files; name at least one .txt or .jsonl file")]
    NoFiles,
    /// A file that does not exist.
    #[error("{path} does not exist; check the path")]
    Missing {
        /// The file that was asked for.
        path: PathBuf,
    },
    /// A name that does not say how to read the file.
    #[error("{path}: unknown kind of file; use .txt or .jsonl, as they are or packed (.gz, .zst)")]
    UnknownKind {
        /// The file.
        path: PathBuf,
    },
    /// A file without text.
    #[error("{path} is empty; remove it from the list or fill it")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A file that is no text in UTF-8, or has no text a line; a file or folder that cannot be written.
    #[error(transparent)]
    Files(drdiff_files::Error),
    /// A line of a .jsonl file that cannot be used.
    #[error("{reason} at line {line} of {path}; fix or remove the line")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// One document that would not fit the memory bound.
    #[error("a document of {path} is longer than {limit} bytes; split it into several documents")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// A share or probability outside its range.
    #[error("{name} must be {range}, not {value}")]
    Option {
        /// The option.
        name: &'static str,
        /// What is allowed.
        range: &'static str,
        /// What was given.
        value: String,
    },
    /// A tier name that cannot be part of a file name.
    #[error("the tier {tier:?} of a document in {path} is not a name: use a-z, 0-9, '-' and '_', at most 32")]
    Tier {
        /// The tier.
        tier: String,
        /// The file.
        path: PathBuf,
    },
    /// Every document went to validation, or none had text.
    #[error("no document is left for training; give more documents or a smaller valid share")]
    NoTrain,
    /// The output folder is taken.
    #[error("{path} already exists; choose another folder or allow overwriting")]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A tokenizer that cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] crate::TokenizerError),
    /// Learning the merges failed.
    #[error("training the tokenizer failed: {0}")]
    Train(String),
    /// A conversation, and a tokenizer without a template.
    #[error(
        "the files hold conversations (`messages`), and the tokenizer has no chat template; name a model that has one with --tokenizer"
    )]
    NoTemplate,
    /// A corpus folder or shard that is damaged or of another version.
    #[error("{path} is not a usable corpus file: {reason}; run `drdiff data prepare` again")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tier that the corpus does not have.
    #[error("the corpus has no {split} text of the tier {tier:?}; it has {known}")]
    UnknownTier {
        /// "train" or "valid".
        split: &'static str,
        /// The tier that was asked for.
        tier: String,
        /// The tiers there are.
        known: String,
    },
    /// A window longer than the text there is.
    #[error(
        "the {split} text has {tokens} tokens in the tier {tier:?}, fewer than one window of {window}; use a smaller window or more text"
    )]
    Short {
        /// "train" or "valid".
        split: &'static str,
        /// The tier.
        tier: String,
        /// Tokens there are.
        tokens: u64,
        /// Tokens that a window needs.
        window: usize,
    },
    /// The caller asked to stop; nothing was left behind.
    #[error("interrupted; nothing was written")]
    Interrupted,
    /// The system refused to read or write.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl From<drdiff_files::Error> for DataError {
    fn from(error: drdiff_files::Error) -> Self {
        match error {
            drdiff_files::Error::File {
                action: "read",
                path,
                source,
            } if source.raw_os_error().is_some() => Self::io(&path)(source),
            other => Self::Files(other),
        }
    }
}

impl DataError {
    /// Attaches `path` to a system error; a missing file gets its own message.
    pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self {
        move |source| match source.kind() {
            std::io::ErrorKind::NotFound => Self::Missing { path: path.to_owned() },
            _ => Self::Io {
                path: path.to_owned(),
                source,
            },
        }
    }

    pub(crate) fn corrupt(path: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
