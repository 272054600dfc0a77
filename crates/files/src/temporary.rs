//! Names that nobody else has, for what is not complete.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::{Builder, NamedTempFile, TempDir};

/// Hidden, and followed by random letters.
const PREFIX: &str = ".drdiff-";
const SUFFIX: &str = ".tmp";

/// What has a temporary name now.
static NAMES: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn names() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes all temporary files and folders of this process: for a program that is about to end without a return, as on
/// a second Ctrl-C. Whoever still writes fails or is not heard of any more.
pub fn remove_temporaries() {
    let mut names = names();
    for path in std::mem::take(&mut *names) {
        let _ = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
    }
    // Nothing may get its name, or a new temporary one, while the program ends.
    std::mem::forget(names);
}

/// A temporary file. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct TemporaryFile(NamedTempFile);

impl TemporaryFile {
    /// Makes an empty one in `folder`, as readable as any new file.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let mut names = names();
        let mut builder = Builder::new();
        builder.prefix(PREFIX).suffix(SUFFIX);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(folder)?;
        names.insert(file.path().to_owned());
        Ok(Self(file))
    }

    /// Gives it the name `path`. Without `replace` there must be nothing of that name.
    pub(crate) fn persist(self, path: &Path, replace: bool) -> io::Result<()> {
        let mut names = names();
        names.remove(self.0.path());
        let named = match replace {
            true => self.0.persist(path),
            false => self.0.persist_noclobber(path),
        };
        named.map(|_| ()).map_err(|error| error.error)
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &fs::File {
        self.0.as_file()
    }
}

impl Write for TemporaryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A temporary folder. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct TemporaryFolder(TempDir);

impl TemporaryFolder {
    /// Makes an empty one in `folder`.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let mut names = names();
        let folder = Builder::new().prefix(PREFIX).suffix(SUFFIX).tempdir_in(folder)?;
        names.insert(folder.path().to_owned());
        Ok(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Does something that [`remove_temporaries`] must not cut in two.
    pub(crate) fn undisturbed<T>(self, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        let mut names = names();
        names.remove(self.0.path());
        work(self.0.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // `remove_temporaries` itself ends with a lock that stays, and is tried by the program's tests.
    #[test]
    fn what_has_a_temporary_name_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let file = TemporaryFile::create(dir.path()).unwrap();
        let folder = TemporaryFolder::create(dir.path()).unwrap();
        let hidden = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with('.');
        assert!(hidden(file.0.path()) && hidden(folder.path()));
        let known = [file.0.path().to_owned(), folder.path().to_owned()];
        assert!(known.iter().all(|name| names().contains(name)));
        file.persist(&dir.path().join("a"), false).unwrap();
        folder.undisturbed(|_| Ok(())).unwrap();
        assert!(known.iter().all(|name| !names().contains(name) && !name.exists()));
    }
}
