//! The folder of a run: one trainer at a time, and nothing of anybody else is overwritten.

use std::path::{Path, PathBuf};

use drdiff_files::{FolderLock, begins_with, make_folder};
use drdiff_model::WEIGHTS;

use crate::run::{LOG_FILE, LOG_MARK};
use crate::{Error, Result, TRAINING_FILE};

const LOCK: &str = ".train.lock";

/// The folder of a run, held for this process until it is dropped.
#[derive(Debug)]
pub struct RunFolder {
    is_begun: bool,
    _lock: FolderLock,
}

impl RunFolder {
    /// Whether the folder `dir` holds the state of a run. Nothing is made, and nothing is held.
    ///
    /// # Errors
    /// As [`RunFolder::take`], where that can be told beforehand.
    pub fn look(dir: &Path) -> Result<bool> {
        if FolderLock::is_held(dir, LOCK) {
            return Err(drdiff_files::Error::Locked { folder: dir.to_owned() }.into());
        }
        check(dir)
    }

    /// Takes the folder `dir`, which is made if there is none.
    ///
    /// # Errors
    /// If another process trains there, if it holds weights without the state that training would go on from, or if the
    /// name of the log is taken by another file.
    pub fn take(dir: &Path) -> Result<Self> {
        Self::look(dir)?;
        make_folder(dir)?;
        let lock = FolderLock::take(dir, LOCK)?;
        Ok(Self {
            is_begun: check(dir)?,
            _lock: lock,
        })
    }

    /// Whether it holds the state of a run, so that training can go on.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.is_begun
    }
}

fn check(dir: &Path) -> Result<bool> {
    let log = dir.join(LOG_FILE);
    let is_text = std::fs::metadata(&log).is_ok_and(|found| found.len() > 0);
    if is_text && !begins_with(&log, LOG_MARK) {
        let kind = "log of `drdiff train`";
        return Err(drdiff_files::Error::OtherKind { path: log, kind }.into());
    }
    if dir.join(TRAINING_FILE).exists() {
        return Ok(true);
    }
    let weights: Option<PathBuf> = WEIGHTS
        .iter()
        .rev()
        .map(|name| dir.join(name))
        .find(|path| path.exists());
    match weights {
        Some(weights) => Err(Error::NoState {
            weights,
            folder: dir.to_owned(),
        }),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_is_one_trainers() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let first = RunFolder::take(&run).unwrap();
        assert!(!first.is_begun());
        let error = RunFolder::take(&run).unwrap_err().to_string();
        assert!(error.contains("another job is at work in"), "{error}");
        drop(first);
        fs::write(run.join(TRAINING_FILE), "").unwrap();
        assert!(RunFolder::take(&run).unwrap().is_begun());
    }

    #[test]
    fn weights_without_a_state_stay() {
        for name in WEIGHTS {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(name), "weights").unwrap();
            let error = RunFolder::take(dir.path()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("--from"), "{error}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_text_of_the_logs_name_stays() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(LOG_FILE), "{\"text\": \"mine\"}\n").unwrap();
        let error = RunFolder::take(dir.path()).unwrap_err().to_string();
        assert!(error.contains("is no log of `drdiff train`"), "{error}");
        fs::write(dir.path().join(LOG_FILE), "{\"event\":\"saved\",\"step\":1}\n").unwrap();
        RunFolder::take(dir.path()).unwrap();
    }
}
