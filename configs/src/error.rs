//! What can be wrong with a configuration, each with its place and its remedy.

use std::path::PathBuf;

/// Errors of reading, merging and decoding configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be read.
    #[error("cannot read the configuration {path}: {source}; {remedy}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason given by the system.
        source: std::io::Error,
        /// What to do.
        remedy: String,
    },
    /// A file that is no text in UTF-8.
    #[error("cannot read the configuration: {0}")]
    NoText(drdiff_files::Error),
    /// A document that is not YAML.
    #[error("{place}: not valid YAML ({reason}); correct the line{snippet}")]
    Syntax {
        /// Document and line.
        place: String,
        /// The parser's words.
        reason: String,
        /// The line, on a line of its own; may be empty.
        snippet: String,
    },
    /// A document that is not a map of settings.
    #[error("{document} must be a map of settings (`key: value` lines), but it is {found}")]
    NotSettings {
        /// The document.
        document: String,
        /// What it is.
        found: &'static str,
    },
    /// A `--set` without a value.
    #[error("`--set {0}` says no value; write it as `--set key.key=value`")]
    Assignment(String),
    /// A preset that does not exist.
    #[error("there is no {section} preset `{name}`{nearest}; there are {known}")]
    UnknownPreset {
        /// Kind of configuration.
        section: &'static str,
        /// The name that was asked for.
        name: String,
        /// " (did you mean `…`?)" or nothing.
        nearest: String,
        /// The names there are.
        known: String,
    },
    /// A value that does not fit the type: unknown key, wrong kind of value, missing key.
    #[error("{place}: {reason}{snippet}")]
    Value {
        /// Origin of the value.
        place: String,
        /// What is wrong, and what would be right.
        reason: String,
        /// The line, on a line of its own; may be empty.
        snippet: String,
    },
    /// Values that make no sense together.
    #[error("the {section} configuration does not work: {reason}")]
    Invalid {
        /// Kind of configuration.
        section: &'static str,
        /// The words of the crate that owns the configuration.
        reason: String,
    },
}

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A snippet as the end of a message.
pub(crate) fn below(snippet: Option<String>) -> String {
    snippet.map_or_else(String::new, |snippet| format!("\n{snippet}"))
}
