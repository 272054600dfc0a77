//! Where a name leads: to a file, or to something that is written to as it is.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

#[cfg(unix)]
use crate::standard;
use crate::{Error, Result};

/// Links on the way to a file at most, as Linux has it.
const LINKS: usize = 40;

/// Where an output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A regular file, or a name that is free. Links are followed: this is the file's own name.
    File(PathBuf),
    /// A pipe, a device or an open file of a process, such as `/dev/stdout`: it is written to and never replaced.
    Stream(PathBuf),
}

/// Follows the links of `path`.
pub(crate) fn find(path: &Path) -> io::Result<Place> {
    let mut at = path.to_owned();
    for _ in 0..LINKS {
        if is_descriptor(&at) {
            return Ok(Place::Stream(at));
        }
        let found = match fs::symlink_metadata(&at) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Place::File(at)),
            Err(error) => return Err(error),
        };
        if found.is_symlink() {
            at = folder_of(&at).join(fs::read_link(&at)?);
        } else if found.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        } else if found.is_file() {
            return Ok(Place::File(at));
        } else {
            return Ok(Place::Stream(at));
        }
    }
    Err(io::Error::other("too many links"))
}

/// The folder that a name is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Whether `path` is an open file of a process, as `/proc/self/fd/1` and `/dev/fd/63` are. What it shows, also where that
/// is a regular file, belongs to whoever opened it.
fn is_descriptor(path: &Path) -> bool {
    let folder = folder_of(path);
    // Most names end here, without a question to the system.
    if folder.file_name().is_none_or(|name| name != "fd") {
        return false;
    }
    folder == Path::new("/dev/fd") || fs::canonicalize(folder).is_ok_and(|folder| folder.starts_with("/proc"))
}

/// Opens a stream for writing, behind what it may hold.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    if let Some(own) = standard::named(path)? {
        return Ok(own);
    }
    File::options().append(true).open(path)
}

/// Whether stdout or stderr of this process go to `file`, a regular one.
pub(crate) fn is_standard(file: &Path) -> bool {
    #[cfg(unix)]
    if let Ok(found) = fs::metadata(file) {
        return standard::outputs()
            .into_iter()
            .any(|own| own.and_then(|own| own.metadata()).is_ok_and(|own| is_one(&own, &found)));
    }
    let _ = file;
    false
}

/// Whether two names lead to one file, by whatever paths and links; `-` is stdin. Terminals and other devices of
/// characters can be read and written at once, and are never the same.
#[must_use]
pub fn same(a: &Path, b: &Path) -> bool {
    match (metadata(a), metadata(b)) {
        (Ok(a), Ok(b)) if cfg!(unix) => is_one(&a, &b),
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        _ => own_name(a).is_some_and(|a| own_name(b).is_some_and(|b| a == b)),
    }
}

/// Refuses `outputs` that are one of `inputs`.
///
/// # Errors
/// [`Error::Input`] that names the output.
pub fn apart<O: AsRef<Path>, I: AsRef<Path>>(outputs: impl IntoIterator<Item = O>, inputs: &[I]) -> Result<()> {
    for output in outputs {
        let path = output.as_ref();
        if inputs.iter().any(|input| same(path, input.as_ref())) {
            return Err(Error::Input { path: path.to_owned() });
        }
    }
    Ok(())
}

fn metadata(path: &Path) -> io::Result<Metadata> {
    #[cfg(unix)]
    if path == Path::new("-") {
        return standard::input()?.metadata();
    }
    fs::metadata(path)
}

/// The name of a file that need not exist, without links.
fn own_name(path: &Path) -> Option<PathBuf> {
    let (Place::File(file) | Place::Stream(file)) = find(path).ok()?;
    Some(fs::canonicalize(folder_of(&file)).ok()?.join(file.file_name()?))
}

#[cfg(unix)]
fn is_one(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    (a.dev(), a.ino()) == (b.dev(), b.ino()) && !a.file_type().is_char_device()
}

#[cfg(not(unix))]
fn is_one(_: &Metadata, _: &Metadata) -> bool {
    false
}
