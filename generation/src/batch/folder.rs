//! The files of one shard in the output folder.
//!
//! While a shard is at work its files end in `.partial`. When it is done they are renamed and a marker says how many
//! records there are and what their hash is, so whoever sees the marker sees the whole.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::BatchError;
use super::shard::Shard;
use crate::Result;

/// The marker of a shard that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Which shard, from 0.
    pub shard: usize,
    /// Of how many.
    pub shards: usize,
    /// Texts in the part.
    pub records: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Lines that were no usable requests.
    pub refused: u64,
    /// Size of the part.
    pub bytes: u64,
    /// blake3 of the part.
    pub blake3: String,
    /// Version of the program.
    pub version: String,
    /// Revision of the program.
    pub commit: String,
    /// Where it was computed.
    pub device: String,
}

/// Paths of a shard's files.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    folder: PathBuf,
    label: String,
}

impl Paths {
    pub(super) fn new(folder: &Path, shard: Shard) -> Self {
        Self {
            folder: folder.to_owned(),
            label: shard.label(),
        }
    }

    /// Texts.
    pub(super) fn part(&self) -> PathBuf {
        self.folder.join(format!("part-{}.jsonl", self.label))
    }

    /// Lines that failed.
    pub(super) fn errors(&self) -> PathBuf {
        self.folder.join(format!("errors-{}.jsonl", self.label))
    }

    pub(super) fn done(&self) -> PathBuf {
        self.folder.join(format!("part-{}.done", self.label))
    }

    pub(super) fn lock(&self) -> String {
        format!(".part-{}.lock", self.label)
    }

    /// Reads the marker, if there is one.
    pub(super) fn read_done(&self) -> Result<Option<Done>, BatchError> {
        let path = self.done();
        match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(BatchError::file("read", &path)(e)),
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(done) => Ok(Some(done)),
                Err(e) => Err(BatchError::Broken {
                    path,
                    line: e.line(),
                    reason: e.to_string(),
                }),
            },
        }
    }

    /// Writes the marker.
    pub(super) fn write_done(&self, done: &Done) -> Result<(), BatchError> {
        let path = self.done();
        let json = serde_json::to_string_pretty(done).map_err(|e| BatchError::Record {
            path: path.clone(),
            reason: e.to_string(),
        })?;
        Ok(drdiff_files::write(&path, (json + "\n").as_bytes())?)
    }

    /// Makes a shard that may have been done open to more records.
    pub(super) fn reopen(&self) -> Result<(), BatchError> {
        drdiff_files::remove(&self.done())?;
        for path in [self.part(), self.errors()] {
            let growing = partial(&path);
            if path.exists() {
                // A job has one or the other; both are somebody's copy, and either may be the one to keep.
                if growing.exists() {
                    return Err(BatchError::Both { path });
                }
                drdiff_files::rename(&path, &growing)?;
            }
        }
        Ok(())
    }
}

/// Whether a job in `folder` keeps something of its own under the name `file`: its requests must not lie there, and
/// nothing else may be written there.
#[must_use]
pub fn belongs_to_job(folder: &Path, file: &Path) -> bool {
    let own = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let name = own.file_name().unwrap_or_default().to_string_lossy();
    let part = ["part-", "errors-"].iter().find_map(|kind| name.strip_prefix(kind));
    let is_part = part.is_some_and(|rest| {
        rest.contains("-of-")
            && [".jsonl", ".jsonl.partial", ".done"]
                .iter()
                .any(|end| rest.ends_with(end))
    });
    let beside = own.parent().filter(|beside| !beside.as_os_str().is_empty());
    (is_part || name == "manifest.json") && drdiff_files::same(folder, beside.unwrap_or(Path::new(".")))
}

/// The name of a file that still grows.
pub(super) fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// Size and blake3 of a file, read piece by piece.
pub(super) fn hash(path: &Path) -> Result<(u64, String), BatchError> {
    let mut hasher = blake3::Hasher::new();
    let read = File::open(path).and_then(|mut file| io::copy(&mut file, &mut hasher));
    let bytes = read.map_err(BatchError::file("read", path))?;
    Ok((bytes, hasher.finalize().to_hex().to_string()))
}
