//! One job at a time in a folder.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use crate::{Error, Result};

/// Somebody who only asks whether a folder is held has it for an instant, and must not turn a job away by that.
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// Holds a folder, or a part of it, for this process. The system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock file `name` in `folder`, which must exist. The file stays when the lock is gone: to remove it
    /// would let two jobs lock two files of one name.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process holds it; [`Error::File`] if the file system has no locks.
    pub fn take(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(name);
        let file = Self::open(&path)?;
        for patience in (0..TRIES).rev() {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if patience > 0 => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => break,
                Err(TryLockError::Error(source)) => return Err(Error::file("lock", &path)(source)),
            }
        }
        Err(Error::Locked {
            folder: folder.to_owned(),
        })
    }

    /// Takes the lock file `name` in `folder`, and waits for it where another process holds it: for things that take
    /// an instant.
    ///
    /// # Errors
    /// [`Error::File`] if the file system has no locks.
    pub fn wait(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(name);
        let file = Self::open(&path)?;
        file.lock().map_err(Error::file("lock", &path))?;
        Ok(Self { _file: file })
    }

    /// Whether a process holds the lock file `name` in `folder`.
    #[must_use]
    pub fn is_held(folder: &Path, name: &str) -> bool {
        let file = File::open(folder.join(name));
        file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    fn open(path: &Path) -> Result<File> {
        File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(Error::file("lock", path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_job_is_told_and_a_later_one_is_welcome() {
        let dir = tempfile::tempdir().unwrap();
        let first = FolderLock::take(dir.path(), ".lock").unwrap();
        let error = FolderLock::take(dir.path(), ".lock").unwrap_err().to_string();
        assert!(
            error.contains("another job is at work") && error.contains("choose another folder"),
            "{error}"
        );
        FolderLock::take(dir.path(), "other.lock").unwrap();
        assert!(FolderLock::is_held(dir.path(), ".lock") && !FolderLock::is_held(dir.path(), "none.lock"));
        drop(first);
        FolderLock::take(dir.path(), ".lock").unwrap();
        FolderLock::wait(dir.path(), ".lock").unwrap();
    }
}
