//! Ctrl-C and the signals that ask a program to end.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use anyhow::Context;

use crate::exit::Exit;
use crate::output::complain;

/// How long a command that looks at the flag may take to end by itself.
const PATIENCE: Duration = Duration::from_millis(1200);

static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();
/// Whether the command looks at the flag.
static LOOKED_AT: AtomicBool = AtomicBool::new(false);

fn stop() -> &'static Arc<AtomicBool> {
    STOP.get_or_init(Arc::default)
}

/// Begins to listen for Ctrl-C, SIGTERM and SIGHUP, once for all commands.
///
/// The first one sets the flag. A command that does not look at it, or is in the middle of something long, is ended from
/// outside: what it left unfinished is removed, and what must stay whole, as a run that saves what it learned, is waited for.
/// The second one waits for nothing. Files are written under another name and renamed, so even then none is half-written.
pub(crate) fn listen() -> anyhow::Result<()> {
    let stop = stop().clone();
    ctrlc::set_handler(move || {
        if stop.swap(true, Ordering::Relaxed) {
            let _ended = drdiff_files::end_at_once();
            process::exit(i32::from(Exit::Interrupted.code()));
        }
        // The handler must be free for the second signal. Without a thread there is only that.
        let _ = thread::Builder::new().name("end".to_owned()).spawn(end);
    })
    .context("cannot listen for Ctrl-C")
}

fn end() {
    if LOOKED_AT.load(Ordering::Relaxed) {
        thread::sleep(PATIENCE);
        // Who takes the signal back has ended what it was meant for, and goes on.
        if !stop().load(Ordering::Relaxed) {
            return;
        }
    }
    let _ended = drdiff_files::end();
    complain("interrupted; the same command can be run again");
    process::exit(i32::from(Exit::Interrupted.code()));
}

/// The flag that the first signal sets; who takes it looks at it often, and then has some time to end in good order.
pub(crate) fn flag() -> Arc<AtomicBool> {
    LOOKED_AT.store(true, Ordering::Relaxed);
    stop().clone()
}
