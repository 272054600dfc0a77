//! How a program ends in the middle of its work. A program of its own, since an end removes the unfinished files of the whole process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use drdiff_files::{Unfinished, end, end_at_once, whole};

#[test]
fn an_end_waits_for_what_is_whole_and_removes_what_is_unfinished() {
    let dir = tempfile::tempdir().unwrap();
    let [file, folder, done] = ["file.tmp", "folder.tmp", "done"].map(|name| dir.path().join(name));
    for path in [&file, &done] {
        std::fs::write(path, "text").unwrap();
    }
    std::fs::create_dir_all(folder.join("inner")).unwrap();
    let _marks = [&file, &folder].map(|path| Unfinished::new(path));
    drop(Unfinished::new(&done));

    let ready = AtomicBool::new(false);
    let whole = whole();
    thread::scope(|scope| {
        let ending = scope.spawn(|| {
            let ended = end();
            assert!(ready.load(Ordering::SeqCst), "it waits");
            assert!(!file.exists() && !folder.exists() && done.exists());
            drop(ended);
        });
        thread::sleep(Duration::from_millis(50));
        assert!(file.exists());
        ready.store(true, Ordering::SeqCst);
        drop(whole);
        ending.join().unwrap();
    });
    // What is marked may be gone.
    drop(end_at_once());
}
