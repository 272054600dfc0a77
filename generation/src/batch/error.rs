//! What can go wrong with the files of a job.

use std::io;
use std::path::{Path, PathBuf};

/// Errors of jobs: one sentence each, with what to do. What a job has finished is kept by all of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
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
    /// A line in the middle of a journal is damaged.
    #[error(
        "{path} is damaged at line {line} ({reason}); put back the whole file, or delete that line to have its record made again",
        path = .path.display()
    )]
    Broken {
        /// The journal.
        path: PathBuf,
        /// Its line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A record cannot be written as JSON.
    #[error("cannot write a record to {path} as JSON: {reason}", path = .path.display())]
    Record {
        /// The journal.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Another process works here.
    #[error("another job is at work in {folder}; wait until it ends, or choose another folder", folder = .folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// The output was removed under the job's hands.
    #[error("{path} was removed while the job was writing it; run the same command again to make its records anew", path = .path.display())]
    Gone {
        /// The file that is missing.
        path: PathBuf,
    },
}

impl BatchError {
    /// For `map_err`: an error of the system while trying to `action` `path`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
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
            "make room and run the same command again, what is finished is kept"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "choose a folder that you may write to, or change its permissions"
        }
        io::ErrorKind::NotFound => "check that it is still there",
        io::ErrorKind::Unsupported => "choose a folder on another file system",
        _ => "run the same command again, what is finished is kept",
    }
}
