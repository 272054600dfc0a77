//! A file that a command writes: complete or absent.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::place::{self, Place, folder_of};
use crate::temporary::TemporaryFile;
use crate::{Error, Result, apart, small};

/// Where a command is going to write. Links are followed; pipes and devices are written to as they are.
#[derive(Debug, Clone)]
pub struct Output {
    path: PathBuf,
    place: Place,
    /// Whether a file that is there may be replaced.
    replaces: bool,
}

impl Output {
    /// Looks at the file `path` that a command was asked to write, before the command reads anything. Nothing is
    /// written, and what is there stays until [`Writer::finish`].
    ///
    /// # Errors
    /// [`Error::Input`] if it is one of `inputs`, [`Error::Standard`] if stdout goes there, and [`Error::File`] if it is
    /// a folder or no file can be made there.
    pub fn claim<I: AsRef<Path>>(path: &Path, inputs: &[I]) -> Result<Self> {
        apart([path], inputs)?;
        let output = Self::at(path)?;
        if let Place::File(file) = &output.place {
            if place::is_standard(file) {
                return Err(Error::Standard { path: path.to_owned() });
            }
            TemporaryFile::create(folder_of(file)).map_err(Error::file("create", path))?;
        }
        Ok(output)
    }

    fn at(path: &Path) -> Result<Self> {
        let place = place::find(path).map_err(Error::file("create", path))?;
        Ok(Self {
            path: path.to_owned(),
            place,
            replaces: true,
        })
    }

    /// The file of this name that would be replaced, if there is one with something in it. A link is another matter: who
    /// makes one wants what it leads to to be written.
    fn existing(&self) -> Option<&Path> {
        match &self.place {
            Place::File(file) if !self.path.is_symlink() => {
                let found = fs::symlink_metadata(file).ok()?;
                (found.len() > 0).then_some(file)
            }
            _ => None,
        }
    }

    /// Refuses to replace a file that holds something: for texts, and all that took long to make.
    ///
    /// # Errors
    /// [`Error::Exists`].
    pub fn new_only(mut self) -> Result<Self> {
        if self.existing().is_some() {
            return Err(Error::Exists { path: self.path });
        }
        self.replaces = !matches!(&self.place, Place::File(file) if !file.exists());
        Ok(self)
    }

    /// Refuses to replace a file that holds something else than a `kind`, as `is_own` tells: for reports, which can be
    /// made again.
    ///
    /// # Errors
    /// [`Error::OtherKind`].
    pub fn over(self, kind: &'static str, is_own: impl FnOnce(&Path) -> bool) -> Result<Self> {
        match self.existing() {
            Some(file) if !is_own(file) => Err(Error::OtherKind { path: self.path, kind }),
            _ => Ok(self),
        }
    }

    /// Whether it is a pipe, a device or an open file of a process, and no file of a folder.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        matches!(self.place, Place::Stream(_))
    }

    /// Begins to write.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be opened.
    pub fn create(&self) -> Result<Writer> {
        let wrong = || Error::file("create", &self.path);
        let sink = match &self.place {
            Place::File(file) => {
                let temporary = TemporaryFile::create(folder_of(file)).map_err(wrong())?;
                Sink::File(BufWriter::new(temporary), file.clone())
            }
            Place::Stream(stream) => Sink::Stream(BufWriter::new(place::open(stream).map_err(wrong())?)),
        };
        Ok(Writer {
            output: self.clone(),
            sink,
        })
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// [`Error::File`]; a file that was there is then as it was.
    pub fn write(&self, content: &[u8]) -> Result<()> {
        let mut writer = self.create()?;
        writer.put(content)?;
        writer.finish()
    }
}

/// Writes a whole file, so that readers see the old content or the new, never a part of either.
///
/// # Errors
/// [`Error::File`]; a file that was there is then as it was.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    Output::at(path)?.write(content)
}

/// An output that is being written. Dropped before [`Writer::finish`], it leaves no file behind.
#[derive(Debug)]
pub struct Writer {
    output: Output,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    /// Under a temporary name, and the name that it gets.
    File(BufWriter<TemporaryFile>, PathBuf),
    Stream(BufWriter<File>),
}

impl Writer {
    /// Adds bytes.
    ///
    /// # Errors
    /// [`Error::File`], for one if the disk is full.
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let written = match &mut self.sink {
            Sink::File(file, _) => file.write_all(bytes),
            Sink::Stream(stream) => stream.write_all(bytes),
        };
        written.map_err(Error::file("write", &self.output.path))
    }

    /// Gives a file its name, once all of it is on the disk.
    ///
    /// # Errors
    /// [`Error::File`]; a file that was there is then as it was. [`Error::Exists`] if there has come to be one.
    pub fn finish(self) -> Result<()> {
        let Self { output, sink } = self;
        let wrong = || Error::file("write", &output.path);
        let (file, target) = match sink {
            Sink::File(file, target) => (file, target),
            Sink::Stream(mut stream) => return stream.flush().map_err(wrong()),
        };
        let temporary = file.into_inner().map_err(|error| wrong()(error.into_error()))?;
        temporary.file().sync_all().map_err(wrong())?;
        if let Ok(old) = fs::metadata(&target) {
            let allowed = temporary.file().set_permissions(old.permissions());
            allowed.map_err(wrong())?;
        }
        match temporary.persist(&target, output.replaces) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::Exists { path: output.path });
            }
            named => named.map_err(Error::file("replace", &output.path))?,
        }
        small::sync_folder(&target);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [&Path; 0] = [];

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_complete_or_absent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        let mut writer = Output::claim(&path, &NONE).unwrap().create().unwrap();
        writer.put(b"half").unwrap();
        assert!(!path.exists());
        drop(writer);
        assert!(files(dir.path()).is_empty());
        write(&path, b"whole").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), files(dir.path()).len()),
            (b"new".to_vec(), 1)
        );
    }

    #[test]
    fn what_exists_is_replaced_by_its_own_kind_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        let text = || Output::claim(&path, &NONE).unwrap().new_only();
        let report = || Output::claim(&path, &NONE).unwrap().over("report", begins);
        fn begins(file: &Path) -> bool {
            crate::begins_with(file, b"report ")
        }
        fs::write(&path, "").unwrap();
        text().unwrap().write(b"report 1").unwrap();
        assert!(matches!(text(), Err(Error::Exists { .. })));
        report().unwrap().write(b"diary").unwrap();
        let error = report().unwrap_err().to_string();
        assert!(error.contains("is no report; choose another name"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"diary");
    }

    #[test]
    fn a_text_that_came_in_between_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        let output = Output::claim(&path, &NONE).unwrap().new_only().unwrap();
        fs::write(&path, "theirs").unwrap();
        assert!(matches!(output.write(b"ours"), Err(Error::Exists { .. })));
        assert_eq!(
            (fs::read(&path).unwrap(), files(dir.path()).len()),
            (b"theirs".to_vec(), 1)
        );
    }

    #[test]
    fn an_input_is_known_by_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let input = dir.path().join("in.txt");
        fs::write(&input, "text").unwrap();
        let names = ["hard", "in.txt", "./in.txt"].map(|name| dir.path().join(name));
        fs::hard_link(&input, &names[0]).unwrap();
        for name in &names {
            assert!(
                matches!(Output::claim(name, &[&input]), Err(Error::Input { .. })),
                "{name:?}"
            );
        }
        let missing = dir.path().join("missing");
        assert!(Output::claim(&missing, &[&input]).is_ok());
        assert!(matches!(
            Output::claim(&missing, &[dir.path().join("./missing")]),
            Err(Error::Input { .. })
        ));
        assert!(matches!(Output::claim(dir.path(), &NONE), Err(Error::File { .. })));
        assert!(Output::claim(&missing.join("deeper"), &NONE).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_rights_are_kept() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("store")).unwrap();
        symlink("store/real", at("link")).unwrap();
        symlink("link", at("again")).unwrap();
        write(&at("again"), b"first").unwrap();
        fs::set_permissions(at("store/real"), fs::Permissions::from_mode(0o640)).unwrap();
        write(&at("again"), b"second").unwrap();
        assert_eq!(fs::read(at("store/real")).unwrap(), b"second");
        assert_eq!(
            fs::metadata(at("store/real")).unwrap().permissions().mode() & 0o777,
            0o640
        );
        let again = || Output::claim(&at("again"), &NONE).unwrap();
        again().over("report", |_| false).unwrap().write(b"third").unwrap();
        again().new_only().unwrap().write(b"fourth").unwrap();
        assert_eq!(fs::read(at("store/real")).unwrap(), b"fourth");
        assert!(at("link").is_symlink() && at("again").is_symlink());
        assert!(matches!(
            Output::claim(&at("again"), &[at("store/real")]),
            Err(Error::Input { .. })
        ));
        symlink("round", at("round")).unwrap();
        assert!(Output::claim(&at("round"), &NONE).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn devices_are_written_to_and_stay() {
        use std::os::unix::fs::FileTypeExt;
        let full = Path::new("/dev/full");
        let error = write(full, b"text").unwrap_err().to_string();
        assert!(error.contains("cannot write /dev/full: No space left"), "{error}");
        write(Path::new("/dev/null"), b"text").unwrap();
        for path in [full, Path::new("/dev/null")] {
            assert!(fs::metadata(path).unwrap().file_type().is_char_device());
        }
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("open")).unwrap();
        let name = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        write(Path::new(&name), b"one ").unwrap();
        write(Path::new(&name), b"two").unwrap();
        assert_eq!(fs::read(dir.path().join("open")).unwrap(), b"one two");
    }
}
