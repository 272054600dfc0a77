//! Files as memory. Here because mapping is `unsafe`, and `unsafe` lives in this crate alone.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

/// The bytes of a file, brought in by the system as they are touched.
///
/// The file must not shrink while it is mapped: a read beyond its new end would end the process. Files that are
/// written under another name and then renamed, as this project's are, never do.
#[derive(Debug)]
pub struct MappedFile(memmap2::Mmap);

impl MappedFile {
    /// Maps the file at `path` for reading.
    ///
    /// # Errors
    /// If it cannot be opened or mapped.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the mapping is private to reading; nobody in this project truncates a file in place (see above).
        #[expect(unsafe_code, reason = "a mapping is only as constant as the file behind it")]
        let map = unsafe { memmap2::Mmap::map(&file) }?;
        Ok(Self(map))
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
