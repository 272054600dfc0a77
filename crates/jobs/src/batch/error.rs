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
    /// The folder belongs to a job with other settings.
    #[error(
        "{folder} was begun with {key} = {old}, and now {key} is {new}{more}; go on as it was begun, or choose another folder",
        folder = .folder.display()
    )]
    Changed {
        /// The folder.
        folder: PathBuf,
        /// The first key that differs, with dots between its parts.
        key: String,
        /// Its value in the folder.
        old: String,
        /// Its value now.
        new: String,
        /// " (and N more settings differ)" or nothing.
        more: String,
    },
    /// A folder that no job has written.
    #[error("{folder} holds no job ({reason}); name a folder that `drdiff batch` has written", folder = .folder.display())]
    NoJob {
        /// The folder.
        folder: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// A file of which there are two.
    #[error("there are both {path} and {path}.partial; remove the one that does not belong here", path = .path.display())]
    Both {
        /// The file.
        path: PathBuf,
    },
    /// The input is not the same as a moment ago.
    #[error("the input changed while it was read; run the same command again")]
    InputChanged,
    /// A part of a job that cannot be.
    #[error("{0}")]
    Shard(String),
    /// A part was changed after it was done.
    #[error(
        "{path} was changed after it was done ({found} bytes, {wanted} in its marker, or another hash); put back the file, or remove it and {marker} to have it made again",
        path = .path.display(), marker = name(.marker)
    )]
    NotWhole {
        /// The part.
        path: PathBuf,
        /// Its marker.
        marker: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// Its size when it was done.
        wanted: u64,
    },
    /// A part that was done is not there.
    #[error(
        "{path} is missing and its marker is there; put back the file, or remove {marker} to have it made again",
        path = .path.display(), marker = name(.marker)
    )]
    Missing {
        /// The part.
        path: PathBuf,
        /// Its marker.
        marker: PathBuf,
    },
    /// A marker that cannot be read.
    #[error(
        "the marker {path} is damaged ({reason}); put back the file, or remove it and its part to have that made again",
        path = .path.display()
    )]
    Marker {
        /// The marker.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Parts that are not complete cannot be put together.
    #[error("{missing} of {shards} shards are not done (the first is {first}); run them to their end before merging")]
    NotDone {
        /// Shards that lack their marker.
        missing: usize,
        /// All shards.
        shards: usize,
        /// The first that lacks it.
        first: usize,
    },
    /// Two records of one request.
    #[error(
        "the request `{id}` has two records; see `drdiff batch verify`, and remove the part that does not belong here"
    )]
    Twice {
        /// The request.
        id: String,
    },
    /// A file that is not to be overwritten.
    #[error("{path} already exists; choose another name, or remove it first", path = .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Another process works here.
    #[error("another job is at work in {folder}; wait until it ends, or choose another folder", folder = .folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// A file that is not to be used.
    #[error(transparent)]
    Files(drdiff_files::Error),
    /// The output was removed under the job's hands.
    #[error("{path} was removed while the job was writing it; run the same command again to make its records anew", path = .path.display())]
    Gone {
        /// The file that is missing.
        path: PathBuf,
    },
    /// Writing text failed.
    #[error(transparent)]
    Generation(Box<drdiff_generation::Error>),
}

// Boxed, because it is much larger than the rest.
impl From<drdiff_generation::Error> for BatchError {
    fn from(error: drdiff_generation::Error) -> Self {
        Self::Generation(Box::new(error))
    }
}

/// Results of jobs.
pub type Result<T, E = BatchError> = std::result::Result<T, E>;

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

// What a job has finished is kept, which its own sentences say.
impl From<drdiff_files::Error> for BatchError {
    fn from(error: drdiff_files::Error) -> Self {
        match error {
            drdiff_files::Error::File { action, path, source } => Self::File { action, path, source },
            drdiff_files::Error::Exists { path } => Self::Exists { path },
            drdiff_files::Error::Locked { folder } => Self::Locked { folder },
            other => Self::Files(other),
        }
    }
}

/// The name of a file that lies beside another one that is told with its folder.
fn name(path: &Path) -> std::path::Display<'_> {
    Path::new(path.file_name().unwrap_or_default()).display()
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
        io::ErrorKind::NotFound => "check that it is there",
        io::ErrorKind::IsADirectory => "name a file",
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => "choose another name",
        io::ErrorKind::Unsupported => "choose a folder on another file system",
        _ => "run the same command again, what is finished is kept",
    }
}
