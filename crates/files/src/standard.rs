//! The streams that a process is started with, as files of their own: where they go, not what is printed.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;

use crate::place::folder_of;

pub(crate) fn input() -> io::Result<File> {
    Ok(io::stdin().as_fd().try_clone_to_owned()?.into())
}

pub(crate) fn outputs() -> [io::Result<File>; 2] {
    [io::stdout().as_fd(), io::stderr().as_fd()].map(|own| Ok(own.try_clone_to_owned()?.into()))
}

/// The stream that `path` names. A copy of it goes on where the stream is; a file that is opened anew would begin
/// elsewhere.
pub(crate) fn named(path: &Path) -> io::Result<Option<File>> {
    let folder = folder_of(path);
    let own = Path::new("/proc/self/fd").canonicalize();
    let ours = folder == Path::new("/dev/fd") || own.is_ok_and(|own| folder.canonicalize().is_ok_and(|it| it == own));
    let [out, err] = outputs();
    match path.file_name().and_then(|name| name.to_str()) {
        Some("1") if ours => {
            io::stdout().flush()?;
            out.map(Some)
        }
        Some("2") if ours => err.map(Some),
        _ => Ok(None),
    }
}
