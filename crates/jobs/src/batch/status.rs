//! How far the shards of a folder are.

use std::path::Path;

use drdiff_files::FolderLock;
use serde::Serialize;
use serde::de::IgnoredAny;

use super::folder::{Done, Paths, partial};
use super::manifest::Manifest;
use super::shard::Shard;
use super::{BatchError, Journal};

/// How far a shard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// Nobody has begun it.
    Waiting,
    /// A process works on it.
    Running,
    /// It was begun, and nobody works on it.
    Stopped,
    /// It is complete.
    Done,
}

/// A shard and its counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShardStatus {
    /// Which shard, from 0.
    pub shard: usize,
    /// How far it is.
    pub progress: Progress,
    /// Texts.
    pub records: u64,
    /// Lines of the error file.
    pub errors: u64,
}

/// The shards of the job in `folder`, and what it was begun with. Nothing is changed, and running jobs are not
/// disturbed.
///
/// # Errors
/// If the folder holds no job, or a file is damaged.
pub fn status(folder: &Path) -> Result<(Manifest, Vec<ShardStatus>), BatchError> {
    let manifest = Manifest::read(folder)?;
    let shards = (0..manifest.shards).map(|index| one(folder, Shard::new(index, manifest.shards)?));
    let shards = shards.collect::<Result<_, _>>()?;
    Ok((manifest, shards))
}

fn one(folder: &Path, shard: Shard) -> Result<ShardStatus, BatchError> {
    let paths = Paths::new(folder, shard);
    if let Some(Done {
        records,
        failed,
        refused,
        ..
    }) = paths.read_done()?
    {
        return Ok(ShardStatus {
            shard: shard.index(),
            progress: Progress::Done,
            records,
            errors: failed + refused,
        });
    }
    let count = |path: &Path| -> Result<Option<u64>, BatchError> {
        let mut lines = 0;
        // A shard that ends or begins this very moment has one name or the other.
        let found = Journal::read(&partial(path), |_: IgnoredAny| lines += 1)?
            || Journal::read(path, |_: IgnoredAny| lines += 1)?;
        Ok(found.then_some(lines))
    };
    let (records, errors) = (count(&paths.part())?, count(&paths.errors())?);
    let progress = match records {
        _ if FolderLock::is_held(folder, &paths.lock()) => Progress::Running,
        Some(_) => Progress::Stopped,
        None => Progress::Waiting,
    };
    Ok(ShardStatus {
        shard: shard.index(),
        progress,
        records: records.unwrap_or(0),
        errors: errors.unwrap_or(0),
    })
}
