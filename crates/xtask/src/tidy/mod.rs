//! `cargo xtask tidy`: the project's invariants, one small check a file.

mod arrows;
mod boundaries;
mod changelog;
mod leftovers;
mod length;
mod presets;
mod readme;
mod repo;
mod source;
mod words;

use std::fmt;
use std::path::Path;

use anyhow::{Result, bail};

use repo::Repo;

/// One broken rule, at a place a reader can jump to.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// 1-based; 0 when the whole file is meant.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Runs all checks, prints what they found, and fails if anything was found.
pub(crate) fn run(root: &Path) -> Result<()> {
    let repo = Repo::load(root)?;
    let mut findings = arrows::check(&arrows::read(root)?);
    findings.extend(length::check(&repo));
    findings.extend(boundaries::check(&repo));
    findings.extend(leftovers::check(&repo));
    findings.extend(presets::check(&repo));
    findings.extend(words::check(&repo));
    findings.extend(changelog::check(&repo));
    findings.extend(readme::check(&repo));
    findings.sort();

    for warning in length::warnings(&repo) {
        println!("warning: {warning}");
    }
    for finding in &findings {
        println!("error: {finding}");
    }
    println!("tidy: {}", length::statistics(&repo));
    match findings.len() {
        0 => Ok(()),
        1 => bail!("tidy found 1 problem"),
        count => bail!("tidy found {count} problems"),
    }
}
