//! Tells the program which revision it is.

use std::path::Path;
use std::process::Command;

fn main() {
    let root = Path::new("../..");
    println!(
        "cargo::rustc-env=DRDIFF_COMMIT={}",
        commit(root).unwrap_or_else(|| "unknown".to_owned())
    );
    // The log of HEAD changes with every commit; HEAD itself only with the branch.
    for file in [".git/HEAD", ".git/logs/HEAD"] {
        let path = root.join(file);
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
}

/// The short revision, if this is a git checkout and git is there.
fn commit(root: &Path) -> Option<String> {
    if !root.join(".git").exists() {
        return None;
    }
    let output = Command::new("git")
        .current_dir(root)
        .args(["rev-parse", "--short", "HEAD"])
        .output()
        .ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}
