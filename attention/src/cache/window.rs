//! The last positions, all of them, one behind another.

use super::Piece;
use crate::{Error, Result};

/// Slots of a window that moves over the text.
#[derive(Debug)]
pub(super) struct Window {
    window: usize,
    capacity: usize,
    /// Slots in use; the last [`Window::visible`] of them are seen.
    filled: usize,
}

impl Window {
    pub(super) fn new(window: usize, pass: usize) -> Self {
        Self {
            window,
            // Twice the window: what has left it is cleared away once in a window's time, not in every pass.
            capacity: 2 * window + pass,
            filled: 0,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn size(&self) -> usize {
        self.window
    }

    pub(super) fn visible(&self) -> usize {
        self.filled.min(self.window)
    }

    /// Where a pass of `len` positions is written.
    pub(super) fn piece(&self, len: usize) -> Result<Piece> {
        let needed = self.filled + len;
        if needed > self.capacity {
            return Err(Error::CacheFull {
                capacity: self.capacity,
                needed,
            });
        }
        Ok(Piece {
            from: 0,
            slot: self.filled,
            len,
        })
    }

    /// First slot and number of those that a pass of `len` positions sees, its own included.
    pub(super) fn view(&self, len: usize) -> (usize, usize) {
        (self.filled - self.visible(), self.visible() + len)
    }

    /// Keeps `positions` more. Before the slots run out for a pass of `pass`, those that are still seen go to the front:
    /// then their first slot and their number are returned.
    pub(super) fn commit(&mut self, positions: usize, pass: usize) -> Option<(usize, usize)> {
        self.filled += positions;
        if self.filled + pass <= self.capacity {
            return None;
        }
        let (first, kept) = (self.filled - self.visible(), self.visible());
        self.filled = kept;
        Some((first, kept))
    }
}
