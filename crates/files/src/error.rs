//! What can go wrong with a file.

use std::io;
use std::path::{Path, PathBuf};

/// Errors of files: one sentence each, with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} {path}: {source}; {remedy}", path = .path.display(), remedy = remedy(.source))]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason given by the system.
        source: io::Error,
    },
    /// An output that the command reads as well.
    #[error("{path} is what this command reads, and writing it would lose it; name another file to write", path = .path.display())]
    Input {
        /// The file, as the output was named.
        path: PathBuf,
    },
    /// An output that stdout or stderr of the command are written to already.
    #[error("{path} is where stdout or stderr of this command go already; name another file to write", path = .path.display())]
    Standard {
        /// The file.
        path: PathBuf,
    },
    /// A file that is not to be overwritten.
    #[error("{path} already exists; choose another name, or remove it first", path = .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file that holds something else than what is to be written.
    #[error("{path} already exists and is no {kind}; choose another name, or remove it first", path = .path.display())]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// What would be written.
        kind: &'static str,
    },
    /// A folder that holds more than what is to be replaced.
    #[error("{folder} is not replaced, because {reason}; choose another folder, or remove it yourself", folder = .folder.display())]
    ForeignFolder {
        /// The folder.
        folder: PathBuf,
        /// What it holds.
        reason: String,
    },
    /// Another process works in a folder.
    #[error("another job is at work in {folder}; wait until it ends, or choose another folder", folder = .folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// A file of another kind than the one that is read there.
    #[error("{name} is {what}; {remedy}")]
    Foreign {
        /// The file, or stdin.
        name: String,
        /// What it is.
        what: String,
        /// How to make of it what is wanted.
        remedy: String,
    },
}

impl Error {
    /// For `map_err`: an error of the system while trying to `action` `path`.
    pub fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// The refusal of `path`, where `-` stands for stdin, because it is `what`.
    pub(crate) fn foreign(path: &Path, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        let name = match path == Path::new("-") {
            true => "stdin".to_owned(),
            false => path.display().to_string(),
        };
        Self::Foreign {
            name,
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

/// What a user can do about an error of the system.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "make room and run the same command again"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "choose a place that you may use, or change its permissions"
        }
        io::ErrorKind::NotFound => "check that it is there",
        io::ErrorKind::IsADirectory => "name a file",
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => "choose another name",
        io::ErrorKind::Unsupported => "choose a folder on another file system",
        // Not the system says so but what unpacks a file.
        _ if error.raw_os_error().is_none() => "it is cut or damaged: fetch it again",
        _ => "run the same command again",
    }
}
