//! The small steps of writing: folders, new and growing files, other names.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::place::folder_of;
use crate::{Error, Result};

/// Makes a folder and those that it is in, unless they are there.
///
/// # Errors
/// [`Error::File`] if that cannot be, for one because a file has the name.
pub fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::file("make the folder", path))
}

/// Opens a new file, in a folder that is not complete and has no name yet.
///
/// # Errors
/// [`Error::File`] if there is a file of that name, or none can be made.
pub fn create_new(path: &Path) -> Result<File> {
    File::create_new(path).map_err(Error::file("create", path))
}

/// Opens a file that only grows, for reading too, and makes it if there is none. Gives the file and whether it is new.
///
/// # Errors
/// [`Error::File`] if it cannot be opened or is no regular file.
pub fn grow(path: &Path) -> Result<(File, bool)> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        let source = io::Error::other("it is no regular file");
        return Err(Error::file("open", path)(source));
    }
    let is_new = !path.exists();
    let file = File::options().read(true).append(true).create(true).open(path);
    Ok((file.map_err(Error::file("open", path))?, is_new))
}

/// Gives a file another name in its folder.
///
/// # Errors
/// [`Error::File`] if that cannot be.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(Error::file("rename", from))
}

/// Removes a file; it may be gone already.
///
/// # Errors
/// [`Error::File`] if it cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Makes a new name in a folder durable. Some file systems cannot, and there is nothing better to do there.
pub fn sync_folder(path: &Path) {
    let _ = File::open(folder_of(path)).and_then(|folder| folder.sync_all());
}

/// Whether a file begins with `mark`; not if it cannot be read.
#[must_use]
pub fn begins_with(path: &Path, mark: &[u8]) -> bool {
    let mut head = Vec::with_capacity(mark.len());
    File::open(path).is_ok_and(|file| file.take(mark.len() as u64).read_to_end(&mut head).is_ok()) && head == mark
}
