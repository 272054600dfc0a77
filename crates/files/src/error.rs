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
        _ => "run the same command again",
    }
}
