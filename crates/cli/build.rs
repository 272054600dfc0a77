//! Tells the program which revision it is, and whether there is a model to compile in.

use std::env;
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

    println!("cargo::rustc-check-cfg=cfg(has_bundled_model)");
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_BUNDLED_MODEL").is_some() {
        let files = [
            "model.gguf",
            "tokenizer.json",
            "tokenizer_config.json",
            "chat_template.jinja",
        ];
        let files = files.map(|file| root.join("models/drdiff-smol").join(file));
        for file in &files {
            println!("cargo::rerun-if-changed={}", file.display());
        }
        if files.iter().all(|file| file.is_file()) {
            println!("cargo::rustc-cfg=has_bundled_model");
        }
    }
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
