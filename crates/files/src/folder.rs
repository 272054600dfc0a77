//! A folder that a command writes: complete or absent, and never in the place of somebody else's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::place::{self, Place, folder_of};
use crate::temporary::TemporaryFolder;
use crate::{Error, Result, small};

/// The new folder within the temporary one, which nobody else may read.
const INNER: &str = "new";

/// A folder that is filled under a temporary name, beside the one that it gets at the end. Dropped before, it is gone.
#[derive(Debug)]
pub struct NewFolder {
    temporary: TemporaryFolder,
    target: PathBuf,
    path: PathBuf,
}

impl NewFolder {
    /// Begins the folder `path`; those that it is in are made. Links are followed.
    ///
    /// # Errors
    /// [`Error::File`] if no folder can be made there.
    pub fn begin(path: &Path) -> Result<Self> {
        let wrong = || Error::file("make the folder", path);
        let target = match fs::canonicalize(path) {
            Ok(target) => target,
            Err(_) => match place::find(path).map_err(wrong())? {
                Place::File(target) | Place::Stream(target) => target,
            },
        };
        let beside = folder_of(&target);
        small::make_folder(beside)?;
        let temporary = TemporaryFolder::create(beside).map_err(wrong())?;
        let new = temporary.path().join(INNER);
        fs::create_dir(&new).map_err(wrong())?;
        Ok(Self {
            temporary,
            target,
            path: new,
        })
    }

    /// Where its files are to be written.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses a folder that holds more than the files `own`, which the caller knows to be from this program.
    ///
    /// # Errors
    /// [`Error::ForeignFolder`] that names the first of the others, [`Error::File`] if the folder cannot be read.
    pub fn require_only(folder: &Path, own: &[&str]) -> Result<()> {
        let wrong = || Error::file("read", folder);
        let mut others = Vec::new();
        for entry in fs::read_dir(folder).map_err(wrong())? {
            let entry = entry.map_err(wrong())?;
            let name = entry.file_name();
            let is_file = entry.file_type().map_err(wrong())?.is_file();
            if !is_file || !own.iter().any(|own| name == *own) {
                others.push(name.to_string_lossy().into_owned());
            }
        }
        others.sort();
        match (others.first(), others.len()) {
            (None, _) => Ok(()),
            (Some(first), count) => Err(Error::ForeignFolder {
                folder: folder.to_owned(),
                reason: match count {
                    1 => format!("it holds `{first}`, which is not part of it"),
                    _ => format!("it holds `{first}` and {} more that are not part of it", count - 1),
                },
            }),
        }
    }

    /// Gives the folder its name. With `replace`, the one that is there is set aside first and removed last; after any
    /// failure it is back.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn publish(self, replace: bool) -> Result<()> {
        let Self {
            temporary,
            target,
            path,
        } = self;
        let wrong = || Error::file("replace", &target);
        let aside = temporary.path().with_extension("old");
        temporary
            .undisturbed(|_| match replace {
                true => exchange(&path, &target, &aside),
                false => fs::rename(&path, &target),
            })
            .map_err(wrong())?;
        small::sync_folder(&target);
        if replace {
            fs::remove_dir_all(&aside).map_err(Error::file("remove", &aside))?;
        }
        Ok(())
    }
}

/// Puts `new` in the place of `old`, which goes `aside`.
fn exchange(new: &Path, old: &Path, aside: &Path) -> io::Result<()> {
    let rights = fs::metadata(old)?.permissions();
    fs::rename(old, aside)?;
    fs::rename(new, old).map_err(|error| match fs::rename(aside, old) {
        Ok(()) => error,
        Err(_) => io::Error::new(
            error.kind(),
            format!("{error}; the old folder is now {}", aside.display()),
        ),
    })?;
    // The names are right already, whatever becomes of this.
    let _ = fs::set_permissions(old, rights);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn begin(path: &Path, file: &str) -> NewFolder {
        let folder = NewFolder::begin(path).unwrap();
        fs::write(folder.path().join(file), file).unwrap();
        folder
    }

    #[test]
    fn a_folder_is_complete_or_absent() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("deep/out");
        drop(begin(&out, "a"));
        assert!(names(out.parent().unwrap()).is_empty());
        begin(&out, "a").publish(false).unwrap();
        begin(&out, "b").publish(true).unwrap();
        assert_eq!(
            (names(&out), names(out.parent().unwrap())),
            (vec!["b".into()], vec!["out".into()])
        );
    }

    #[test]
    fn after_a_failure_the_old_folder_is_back() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        begin(&out, "a").publish(false).unwrap();
        let new = begin(&out, "b");
        fs::remove_dir_all(new.path()).unwrap();
        assert!(new.publish(true).is_err());
        let other = begin(&out, "c");
        assert!(other.publish(false).is_err());
        assert_eq!((names(&out), names(dir.path())), (vec!["a".into()], vec!["out".into()]));
    }

    #[test]
    fn other_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("own"), "").unwrap();
        NewFolder::require_only(dir.path(), &["own", "gone"]).unwrap();
        fs::create_dir(dir.path().join("photos")).unwrap();
        fs::write(dir.path().join("zebra"), "").unwrap();
        let error = NewFolder::require_only(dir.path(), &["own"]).unwrap_err().to_string();
        assert!(error.contains("it holds `photos` and 1 more"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_leads_to_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::os::unix::fs::symlink(&real, &link).unwrap();
        begin(&link, "a").publish(false).unwrap();
        begin(&link, "b").publish(true).unwrap();
        assert!(link.is_symlink() && names(&real) == ["b"]);
    }
}
