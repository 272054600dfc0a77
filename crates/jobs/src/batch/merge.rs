//! All parts of a job as one file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use drdiff_files::Output;

use super::BatchError;
use super::folder::{Paths, belongs_to_job};
use super::manifest::Manifest;
use super::record::Kept;
use super::shard::Shard;

/// Where a record lies.
struct Place {
    id: String,
    part: usize,
    offset: u64,
    len: usize,
}

/// Writes the records of all shards in `folder` to `out`, in the order of their ids, so that the file does not depend
/// on how the job was split or in which order texts were finished. Gives the number of records. Ids and places of the
/// records are held in memory, the records are not.
///
/// # Errors
/// If a shard is not done, a part is not what its marker says, an id occurs twice, or `out` exists.
pub fn merge(folder: &Path, out: &Path) -> Result<u64, BatchError> {
    if belongs_to_job(folder, out) {
        return Err(BatchError::Exists { path: out.to_owned() });
    }
    let out = Output::claim::<PathBuf>(out, &[])?.new_only()?;
    let manifest = Manifest::read(folder)?;
    let parts = parts(folder, manifest.shards)?;
    let mut places = Vec::new();
    for (part, path) in parts.iter().enumerate() {
        read(part, path, &mut places)?;
    }
    places.sort_by(|a, b| a.id.cmp(&b.id));
    if let Some(twice) = places.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(BatchError::Twice {
            id: twice[0].id.clone(),
        });
    }
    copy(&parts, &places, &out)?;
    Ok(places.len() as u64)
}

/// The parts, each of them done and whole.
fn parts(folder: &Path, shards: usize) -> Result<Vec<PathBuf>, BatchError> {
    let mut parts = Vec::new();
    let mut missing = Vec::new();
    for index in 0..shards {
        let paths = Paths::new(folder, Shard::new(index, shards)?);
        match paths.read_done()? {
            Some(_) => {
                paths.check()?;
                parts.push(paths.part());
            }
            None => missing.push(index),
        }
    }
    match missing.first() {
        None => Ok(parts),
        Some(&first) => Err(BatchError::NotDone {
            missing: missing.len(),
            shards,
            first,
        }),
    }
}

fn read(part: usize, path: &Path, places: &mut Vec<Place>) -> Result<(), BatchError> {
    let mut reader = BufReader::new(File::open(path).map_err(BatchError::file("read", path))?);
    let (mut line, mut offset) = (Vec::new(), 0);
    for number in 1.. {
        line.clear();
        let len = reader
            .read_until(b'\n', &mut line)
            .map_err(BatchError::file("read", path))?;
        if len == 0 {
            break;
        }
        let kept: Kept = serde_json::from_slice(&line).map_err(|e| BatchError::Broken {
            path: path.to_owned(),
            line: number,
            reason: e.to_string(),
        })?;
        places.push(Place {
            id: kept.id,
            part,
            offset,
            len,
        });
        offset += len as u64;
    }
    Ok(())
}

fn copy(parts: &[PathBuf], places: &[Place], out: &Output) -> Result<(), BatchError> {
    let mut sources = parts
        .iter()
        .map(|path| File::open(path).map_err(BatchError::file("read", path)))
        .collect::<Result<Vec<_>, _>>()?;
    let mut file = out.create()?;
    let mut record = Vec::new();
    for place in places {
        record.resize(place.len, 0);
        let source = &mut sources[place.part];
        source
            .seek(SeekFrom::Start(place.offset))
            .and_then(|_| source.read_exact(&mut record))
            .map_err(BatchError::file("read", &parts[place.part]))?;
        file.put(&record)?;
    }
    Ok(file.finish()?)
}
