//! Names that nobody else has, for what is not complete.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use tempfile::{Builder, NamedTempFile, TempDir};

use crate::ending::{Unfinished, whole};

/// Hidden, and followed by random letters.
const PREFIX: &str = ".drdiff-";
const SUFFIX: &str = ".tmp";

/// A temporary file. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct TemporaryFile {
    file: NamedTempFile,
    unfinished: Unfinished,
}

impl TemporaryFile {
    /// Makes an empty one in `folder`, as readable as any new file.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let _making = whole();
        let mut builder = Builder::new();
        builder.prefix(PREFIX).suffix(SUFFIX);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(folder)?;
        let unfinished = Unfinished::new(file.path());
        Ok(Self { file, unfinished })
    }

    /// Gives it the name `path`. Without `replace` there must be nothing of that name.
    pub(crate) fn persist(self, path: &Path, replace: bool) -> io::Result<()> {
        let _whole = whole();
        drop(self.unfinished);
        let named = match replace {
            true => self.file.persist(path),
            false => self.file.persist_noclobber(path),
        };
        named.map(|_| ()).map_err(|error| error.error)
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &fs::File {
        self.file.as_file()
    }
}

impl Write for TemporaryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A temporary folder. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct TemporaryFolder {
    folder: TempDir,
    unfinished: Unfinished,
}

impl TemporaryFolder {
    /// Makes an empty one in `folder`.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let _making = whole();
        let folder = Builder::new().prefix(PREFIX).suffix(SUFFIX).tempdir_in(folder)?;
        let unfinished = Unfinished::new(folder.path());
        Ok(Self { folder, unfinished })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Does something that an end of the program must not cut in two.
    pub(crate) fn undisturbed<T>(self, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        let _whole = whole();
        drop(self.unfinished);
        work(self.folder.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_are_hidden_and_gone_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = TemporaryFile::create(dir.path()).unwrap();
        let folder = TemporaryFolder::create(dir.path()).unwrap();
        let hidden = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with('.');
        let names = [file.file.path().to_owned(), folder.path().to_owned()];
        assert!(names.iter().all(|name| hidden(name) && name.exists()));
        file.persist(&dir.path().join("a"), false).unwrap();
        folder.undisturbed(|_| Ok(())).unwrap();
        assert!(names.iter().all(|name| !name.exists()));
    }
}
