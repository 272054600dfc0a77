//! Memory for weights, in large pages where the system has such: each token walks through all of it, and with small pages looking
//! up where they are costs a third of the time.

#![allow(unsafe_code)]

use super::format::{LINE, Line};
use memmap2::MmapMut;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of memory that matrices share, so that small ones lie in large pages too.
const ROOM: usize = 32 << 20;

/// Lines of one matrix.
pub(super) struct Lines {
    start: *mut Line,
    count: usize,
    /// Keeps the memory.
    _map: Arc<MmapMut>,
}

// SAFETY: the lines belong to this value alone, as those of a vector do.
unsafe impl Send for Lines {}
// SAFETY: as above.
unsafe impl Sync for Lines {}

/// Memory of which some is left.
struct Room {
    map: Arc<MmapMut>,
    next: *mut u8,
    left: usize,
}

// SAFETY: what is left belongs to this value alone.
unsafe impl Send for Room {}

static CURRENT: Mutex<Option<Room>> = Mutex::new(None);

impl Room {
    fn new(bytes: usize) -> io::Result<Self> {
        let mut map = MmapMut::map_anon(bytes)?;
        // A wish that need not be granted.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self {
            next: map.as_mut_ptr(),
            left: map.len(),
            map: Arc::new(map),
        })
    }
}

impl Lines {
    /// So many lines of zeros.
    ///
    /// # Errors
    /// If the system has no memory left.
    pub(super) fn zeros(count: usize) -> io::Result<Self> {
        let bytes = count.checked_mul(LINE).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = match current.take() {
            Some(room) if room.left >= bytes => room,
            _ => Room::new(bytes.max(ROOM))?,
        };
        let lines = Self {
            start: room.next.cast(),
            count,
            _map: room.map.clone(),
        };
        // SAFETY: so many bytes are left.
        room.next = unsafe { room.next.add(bytes) };
        room.left -= bytes;
        *current = Some(room);
        Ok(lines)
    }
}

impl Deref for Lines {
    type Target = [Line];

    fn deref(&self) -> &[Line] {
        // SAFETY: maps are aligned to pages and hold whole lines, all of which are bytes; these are no one else's.
        unsafe { std::slice::from_raw_parts(self.start, self.count) }
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut [Line] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_zeros_of_their_own_and_outlive_their_neighbours() {
        let counts = [1, 0, 300, ROOM / LINE - 5, 2 * ROOM / LINE, 7];
        let mut all: Vec<Lines> = counts.map(|count| Lines::zeros(count).unwrap()).into();
        for (mark, lines) in all.iter_mut().enumerate() {
            assert_eq!(lines.as_ptr() as usize % LINE, 0);
            assert!(lines.iter().all(|line| line.0 == [0; LINE]));
            lines.iter_mut().for_each(|line| line.0.fill(mark as u8 + 1));
        }
        all.remove(0);
        for ((mark, lines), count) in all.iter().enumerate().zip(&counts[1..]) {
            assert_eq!(lines.len(), *count);
            assert!(lines.iter().all(|line| line.0 == [mark as u8 + 2; LINE]));
        }
    }
}
