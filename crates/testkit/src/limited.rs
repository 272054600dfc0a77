//! Tests of files that lie about sizes: run with little memory, where a promise that is believed ends the process.

use std::process::Command;

/// Names the process that runs the body of a test.
const MARK: &str = "DRDIFF_LIMITED_TEST";

/// Runs the test `name` of this program again in a process of its own with at most `mebibytes` of memory, and says whether this is
/// that process: `if limited("name", 1024) { the body }`. Where there is no `sh`, the body runs here without a limit.
///
/// # Panics
/// If the test fails there, or the process ends early.
#[must_use]
pub fn limited(name: &str, mebibytes: u64) -> bool {
    if std::env::var_os(MARK).is_some_and(|running| running == *name) || !cfg!(unix) {
        return true;
    }
    let program = std::env::current_exe().expect("a test knows its program");
    let run = Command::new("sh")
        .args(["-c", "ulimit -v \"$1\" && shift && exec \"$@\"", "sh"])
        .arg((mebibytes * 1024).to_string())
        .arg(program)
        .args(["--exact", name, "--test-threads", "1"])
        .env(MARK, name)
        // Threads reserve addresses that they never use.
        .envs([("MALLOC_ARENA_MAX", "1"), ("RAYON_NUM_THREADS", "1")])
        .output()
        .expect("a shell runs the test again");
    let told = [run.stdout, run.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(run.status.success(), "{}: {}", run.status, told.concat());
    assert!(told[0].contains("1 passed"), "no test is named {name}: {}", told[0]);
    false
}

/// How many inputs a property is tried with: `usual`, or what the variable `PROPTEST_CASES` says.
#[must_use]
pub fn cases(usual: u32) -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(usual)
}
