//! Phrases that tell about somebody's desk instead of the project.

use super::Finding;
use super::repo::{File, Repo};
use super::source::Source;

/// Places that exist on one machine only.
const PATHS: &[&str] = &["/work/", "/tmp/", "/root/", "/home/"];

/// Notes to oneself, and references that a reader cannot follow.
const PHRASES: &[&str] = &["todo:", "fixme", "<!-- lead", "issue #", "this session"];

/// This file has to name what it looks for.
const SELF: &str = "crates/xtask/src/tidy/words.rs";

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    repo.files
        .iter()
        .filter(|file| is_prose_or_source(file) && !file.is_test() && file.path != SELF)
        .flat_map(check_file)
        .collect()
}

fn is_prose_or_source(file: &File) -> bool {
    let known = ["rs", "cu", "cuh", "py", "md", "toml", "yaml", "yml", "sh"];
    known.contains(&file.extension()) || file.folder() == ".ci"
}

fn check_file(file: &File) -> Vec<Finding> {
    let source = file.is_rust().then(|| Source::new(&file.text));
    let in_tests = |line| source.as_ref().is_some_and(|source| source.in_tests(line));
    file.text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.to_lowercase()))
        .filter(|(number, _)| !in_tests(*number))
        .filter_map(|(number, line)| {
            let path = PATHS.iter().find(|path| has_absolute(&line, path));
            let word = path.or_else(|| PHRASES.iter().find(|phrase| line.contains(**phrase)))?;
            Some(Finding::new(
                &file.path,
                number,
                format!("`{word}` means nothing to a reader elsewhere"),
            ))
        })
        .collect()
}

/// Whether the line holds `path` from the root, not as a piece of a longer path or an address.
fn has_absolute(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '~' | '}'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Repo::of(&[(path, text)]))
            .iter()
            .map(|finding| finding.line)
            .collect()
    }

    #[test]
    fn machine_paths_and_notes_are_found_outside_tests() {
        let text = "// see /work/notes\nlet x = \"/tmp/a\";\n// FIXME\n#[cfg(test)]\nlet y = \"/tmp/b\";\n";
        assert_eq!(lines("crates/model/src/a.rs", text), [1, 2, 3]);
        assert!(lines("crates/model/tests/a.rs", text).is_empty());
        assert_eq!(lines("README.md", "ok\n<!-- LEAD: sample -->\n"), [2]);
    }

    #[test]
    fn a_piece_of_a_longer_path_is_fine() {
        assert!(lines("README.md", "https://example.org/work/a and data/tmp/b").is_empty());
    }
}
