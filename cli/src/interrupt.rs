//! Ctrl-C and the signals that ask a program to end.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use crate::exit::Exit;

/// A flag that the first Ctrl-C (or SIGTERM, SIGHUP) sets; the second one ends the program at once. Files are written
/// under another name and renamed, so even then none is half-written.
pub(crate) fn flag() -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let shared = flag.clone();
    ctrlc::set_handler(move || {
        if shared.swap(true, Ordering::Relaxed) {
            end();
        }
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(flag)
}

/// Lets the first Ctrl-C end the program, for commands that have nothing to finish: no temporary file is left behind.
pub(crate) fn at_once() -> anyhow::Result<()> {
    ctrlc::set_handler(end).context("cannot listen for Ctrl-C")
}

fn end() {
    drdiff_files::remove_temporaries();
    process::exit(i32::from(Exit::Interrupted.code()));
}
