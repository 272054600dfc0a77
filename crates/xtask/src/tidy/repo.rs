//! The text files of the repository, read once for all checks.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::source;

/// A text file and its path from the root, with `/` between folders.
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    pub(super) fn extension(&self) -> &str {
        self.name().rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The folder of the crate, without `crates/`; empty for files in the root.
    pub(super) fn folder(&self) -> &str {
        let path = self.path.strip_prefix("crates/").unwrap_or(&self.path);
        path.split_once('/').map_or("", |(folder, _)| folder)
    }

    pub(super) fn is_rust(&self) -> bool {
        self.extension() == "rs"
    }

    /// A file that holds only tests.
    pub(super) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.name() == "tests.rs"
    }
}

pub(super) struct Repo {
    pub(super) files: Vec<File>,
}

impl Repo {
    /// Reads what git tracks or would track, so that build output and ignored files stay out.
    pub(super) fn load(root: &Path) -> Result<Self> {
        let output = Command::new("git")
            .current_dir(root)
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .output()
            .context("could not start git")?;
        if !output.status.success() {
            bail!(
                "git ls-files failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let listing = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
        // A path that is gone from the disk or holds no text (weights, images) is not ours to check.
        let files = listing
            .split_terminator('\0')
            .filter_map(|path| {
                let text = std::fs::read_to_string(root.join(path)).ok()?;
                Some(File {
                    path: path.to_owned(),
                    text,
                })
            })
            .collect();
        Ok(Self { files })
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Rust files with their comments and strings blanked.
    pub(super) fn rust(&self) -> impl Iterator<Item = (&File, source::Source)> {
        self.files
            .iter()
            .filter(|file| file.is_rust())
            .map(|f| (f, source::Source::new(&f.text)))
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let file = |&(path, text): &(&str, &str)| File {
            path: path.into(),
            text: text.into(),
        };
        Self {
            files: files.iter().map(file).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_knows_its_crate_and_its_kind() {
        let repo = Repo::of(&[
            ("kernels/tests/rng.rs", ""),
            ("crates/model/src/lib.rs", ""),
            ("README.md", ""),
        ]);
        let file = repo.file("kernels/tests/rng.rs").expect("it was just put in");
        assert_eq!((file.folder(), file.extension()), ("kernels", "rs"));
        assert!(file.is_rust() && file.is_test());
        let model = repo.file("crates/model/src/lib.rs").expect("it was just put in");
        assert_eq!(model.folder(), "model");
        let readme = repo.file("README.md").expect("it was just put in");
        assert_eq!((readme.folder(), readme.name()), ("", "README.md"));
        assert!(!readme.is_rust());
    }
}
