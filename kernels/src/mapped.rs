//! Files as memory. Here because mapping is `unsafe`, and `unsafe` lives in this crate alone.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

/// Memory of so many bytes is asked for before it is taken; of less, a failure would be no surprise.
const LARGE: usize = 1 << 26;

/// Whether the system would give this process so much memory. What the standard library allocates ends the process where the
/// system gives none, so large sizes that come from outside are asked for first; less than 64 MiB is taken for granted.
#[must_use]
pub fn has_room(bytes: usize) -> bool {
    bytes < LARGE || memmap2::MmapMut::map_anon(bytes).is_ok()
}

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
