//! The files of one shard in the output folder.
//!
//! While a shard is at work its files end in `.partial`. When it is done they are renamed and a marker says how many
//! records there are and what their hash is, so whoever sees the marker sees the whole.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::BatchError;
use super::Result;
use super::shard::Shard;

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
        read_marker(&self.done())
    }

    /// Reads the marker that the shard had before it was opened to more records, if it had one.
    pub(super) fn read_reopened(&self) -> Result<Option<Done>, BatchError> {
        read_marker(&partial(&self.done()))
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

    /// Makes a shard that may have been done open to more records. Its marker becomes one of the growing files, and tells how the
    /// part has to begin until there is a new one.
    ///
    /// # Errors
    /// If the part is not what its marker says.
    pub(super) fn reopen(&self) -> Result<(), BatchError> {
        self.check()?;
        let files = [self.part(), self.errors()];
        // A job has one or the other; both are somebody's copy, and either may be the one to keep.
        if let Some(path) = files.iter().find(|path| path.exists() && partial(path).exists()) {
            return Err(BatchError::Both { path: path.clone() });
        }
        let begun = [self.done()].into_iter().chain(files);
        for path in begun.filter(|path| path.exists()) {
            drdiff_files::rename(&path, &partial(&path))?;
        }
        Ok(())
    }

    /// Compares the part with its marker: all of it, or as much as was there when the shard was opened again.
    ///
    /// # Errors
    /// [`BatchError::NotWhole`] if it was changed, [`BatchError::Missing`] if it is not there.
    pub(super) fn check(&self) -> Result<(), BatchError> {
        if let Some(done) = self.read_done()? {
            return require(&self.part(), &self.done(), &done, hash(&self.part()));
        }
        let Some(before) = self.read_reopened()? else {
            return Ok(());
        };
        let growing = partial(&self.part());
        // The part may have its name already, or still, when the job is ended while it renames.
        let part = if growing.exists() { growing } else { self.part() };
        require(&part, &partial(&self.done()), &before, hash_of(&part, before.bytes))
    }

    /// Takes the marker of before away, which a new one replaces.
    pub(super) fn forget_reopened(&self) -> Result<(), BatchError> {
        Ok(drdiff_files::remove(&partial(&self.done()))?)
    }
}

fn read_marker(path: &Path) -> Result<Option<Done>, BatchError> {
    match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(BatchError::file("read", path)(e)),
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| BatchError::Marker {
                path: path.to_owned(),
                reason: e.to_string(),
            }),
    }
}

/// Refuses a `part` whose size and hash are not those of its marker.
fn require(
    part: &Path,
    marker: &Path,
    done: &Done,
    found: Result<(u64, String), BatchError>,
) -> Result<(), BatchError> {
    match found {
        Ok((bytes, blake3)) if (bytes, &blake3) == (done.bytes, &done.blake3) => Ok(()),
        Ok((bytes, _)) => Err(BatchError::NotWhole {
            path: part.to_owned(),
            marker: marker.to_owned(),
            found: bytes,
            wanted: done.bytes,
        }),
        Err(BatchError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Err(BatchError::Missing {
            path: part.to_owned(),
            marker: marker.to_owned(),
        }),
        Err(error) => Err(error),
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
    hash_of(path, u64::MAX)
}

/// Size and blake3 of the first `bytes` bytes of a file, or of all if there are fewer.
fn hash_of(path: &Path, bytes: u64) -> Result<(u64, String), BatchError> {
    let mut hasher = blake3::Hasher::new();
    let read = File::open(path).and_then(|file| io::copy(&mut file.take(bytes), &mut hasher));
    let bytes = read.map_err(BatchError::file("read", path))?;
    Ok((bytes, hasher.finalize().to_hex().to_string()))
}
