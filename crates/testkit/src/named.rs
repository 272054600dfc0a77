//! Files that tests read where somebody names them.

use std::path::PathBuf;

/// The file or folder that an environment variable names; where there is none, a line on stderr says what is skipped.
#[must_use]
#[expect(clippy::print_stderr, reason = "whoever runs tests sees which did nothing")]
pub fn named(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.exists());
    if path.is_none() {
        eprintln!("skipped: {variable} names nothing that is there");
    }
    path
}
