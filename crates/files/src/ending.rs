//! How a program ends in the middle of its work: unfinished files go, and what must stay whole is waited for.
//!
//! A program that is asked to end may be in a computation that nothing can interrupt. Then another thread ends it: it waits
//! for work that is marked as [`whole`], removes what is marked as [`Unfinished`], and leaves. Whoever wants to begin or end
//! such work meanwhile waits until the process is gone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the end waits, behind work that is whole, for the program to end by itself.
const GRACE: Duration = Duration::from_millis(200);

#[derive(Debug)]
struct Work {
    whole: usize,
    unfinished: BTreeSet<PathBuf>,
}

static WORK: Mutex<Work> = Mutex::new(Work {
    whole: 0,
    unfinished: BTreeSet::new(),
});
static FREE: Condvar = Condvar::new();

fn work() -> MutexGuard<'static, Work> {
    WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file or folder that is worth nothing before it has its final name. Until this is dropped, an end removes it.
#[derive(Debug)]
#[must_use = "what is dropped at once is not removed"]
pub struct Unfinished(PathBuf);

impl Unfinished {
    /// Marks `path`, which need not exist yet.
    pub fn new(path: &Path) -> Self {
        work().unfinished.insert(path.to_owned());
        Self(path.to_owned())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        work().unfinished.remove(&self.0);
    }
}

/// Work that is done whole or not at all, until this is dropped.
#[derive(Debug)]
#[must_use = "what is dropped at once keeps nothing whole"]
pub struct Whole(());

/// Begins work in whose middle the program is not ended, such as a step that was asked to stop and will be saved, or two
/// renames that belong together. It must be short, or look by itself at what asks it to end.
pub fn whole() -> Whole {
    work().whole += 1;
    Whole(())
}

impl Drop for Whole {
    fn drop(&mut self) {
        work().whole -= 1;
        FREE.notify_all();
    }
}

/// Waits for work that is whole, with some time behind it for the program to end by itself, and removes what is unfinished.
/// Until what it returns is dropped, which should be never, no such work begins or ends.
#[must_use = "what is dropped at once lets the others go on"]
pub fn end() -> impl Sized {
    let mut held = work();
    while held.whole > 0 {
        while held.whole > 0 {
            held = FREE.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        drop(held);
        std::thread::sleep(GRACE);
        held = work();
    }
    remove(held)
}

/// [`end`] that waits for nothing.
#[must_use = "what is dropped at once lets the others go on"]
pub fn end_at_once() -> impl Sized {
    remove(work())
}

fn remove(held: MutexGuard<'static, Work>) -> MutexGuard<'static, Work> {
    for path in &held.unfinished {
        // What is gone or cannot be removed is not worth a word in the last moment.
        let _ = match path.is_dir() {
            true => std::fs::remove_dir_all(path),
            false => std::fs::remove_file(path),
        };
    }
    held
}
