//! A file holds one idea, so it is short.

use super::Finding;
use super::repo::{File, Repo};

/// Longer files fail.
const HARD_LIMIT: usize = 600;
/// Longer files are named.
const SOFT_LIMIT: usize = 400;
/// The middle file should be shorter.
const MEDIAN_GOAL: usize = 200;

/// Source files with their number of lines.
fn lengths(repo: &Repo) -> impl Iterator<Item = (&File, usize)> {
    repo.files
        .iter()
        .filter(|file| matches!(file.extension(), "rs" | "cu" | "cuh" | "py"))
        .map(|file| (file, file.text.lines().count()))
}

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    longer_than(repo, HARD_LIMIT, usize::MAX)
}

/// Files that come close to the limit; a hint, not a failure.
pub(super) fn warnings(repo: &Repo) -> Vec<Finding> {
    longer_than(repo, SOFT_LIMIT, HARD_LIMIT)
}

/// A finding for each file that is longer than `limit` and no longer than `most`.
fn longer_than(repo: &Repo, limit: usize, most: usize) -> Vec<Finding> {
    lengths(repo)
        .filter(|&(_, lines)| lines > limit && lines <= most)
        .map(|(file, lines)| {
            let message = format!("{lines} lines, more than {limit}; split it by idea");
            Finding::new(&file.path, 0, message)
        })
        .collect()
}

/// One line on how long the source files are.
pub(super) fn statistics(repo: &Repo) -> String {
    let mut lines: Vec<usize> = lengths(repo).map(|(_, lines)| lines).collect();
    lines.sort_unstable();
    let (Some(median), Some(longest)) = (lines.get(lines.len() / 2), lines.last()) else {
        return "no source files".into();
    };
    let count = lines.len();
    format!("{count} source files, median {median} lines (goal: under {MEDIAN_GOAL}), longest {longest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_source_files_are_found() {
        let (long, soft) = ("x\n".repeat(601), "x\n".repeat(401));
        let repo = Repo::of(&[("a.rs", &long), ("b.rs", &soft), ("c.rs", "x\n"), ("d.md", &long)]);
        assert_eq!(
            check(&repo).iter().map(|f| f.path.as_str()).collect::<Vec<_>>(),
            ["a.rs"]
        );
        assert_eq!(
            warnings(&repo).iter().map(|f| f.path.as_str()).collect::<Vec<_>>(),
            ["b.rs"]
        );
        assert_eq!(
            statistics(&repo),
            "3 source files, median 401 lines (goal: under 200), longest 601"
        );
    }
}
