//! The changelog opens with what is not released yet.

use super::Finding;
use super::repo::Repo;

const PATH: &str = "CHANGELOG.md";

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let Some(file) = repo.file(PATH) else {
        return vec![Finding::new(PATH, 0, "the file is missing")];
    };
    let first = file.text.lines().enumerate().find(|(_, line)| line.starts_with("## "));
    match first {
        Some((_, "## [Unreleased]" | "## Unreleased")) => Vec::new(),
        Some((index, _)) => {
            vec![Finding::new(
                PATH,
                index + 1,
                "the first block must be `## [Unreleased]`",
            )]
        }
        None => vec![Finding::new(PATH, 0, "it has no `## [Unreleased]` block")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        check(&Repo::of(&[(PATH, text)])).len()
    }

    #[test]
    fn unreleased_comes_first() {
        assert_eq!(count("# Changelog\n\n## [Unreleased]\n- x\n## 0.1.0\n"), 0);
        assert_eq!(count("# Changelog\n\n## 0.1.0\n## [Unreleased]\n"), 1);
        assert_eq!(count("# Changelog\n"), 1);
        assert_eq!(check(&Repo::of(&[])).len(), 1);
    }
}
