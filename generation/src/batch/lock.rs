//! One job at a time in a folder.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::BatchError;

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
    /// [`BatchError::Locked`] if another process holds it; [`BatchError::File`] if the file system has no locks.
    pub fn take(folder: &Path, name: &str) -> Result<Self, BatchError> {
        let path = folder.join(name);
        let file = Self::open(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(BatchError::Locked {
                folder: folder.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(BatchError::file("lock", &path)(source)),
        }
    }

    /// Takes the lock file `name` in `folder`, and waits for it where another process holds it: for things that take
    /// an instant.
    ///
    /// # Errors
    /// [`BatchError::File`] if the file system has no locks.
    pub fn wait(folder: &Path, name: &str) -> Result<Self, BatchError> {
        let path = folder.join(name);
        let file = Self::open(&path)?;
        file.lock().map_err(BatchError::file("lock", &path))?;
        Ok(Self { _file: file })
    }

    fn open(path: &Path) -> Result<File, BatchError> {
        File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(BatchError::file("open", path))
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
        drop(first);
        FolderLock::take(dir.path(), ".lock").unwrap();
        FolderLock::wait(dir.path(), ".lock").unwrap();
    }
}
