//! The README's two promises: one command writes text, one passes all tests, and CI runs the latter.

use super::Finding;
use super::repo::Repo;

const README: &str = "README.md";
const CI: &str = ".ci/run";

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let Some(readme) = repo.file(README) else {
        return vec![Finding::new(README, 0, "the file is missing")];
    };
    let Some(ci) = repo.file(CI) else {
        return vec![Finding::new(CI, 0, "the file is missing")];
    };
    let commands = commands(&readme.text);
    let mut findings = Vec::new();
    if !commands
        .iter()
        .any(|(_, command)| command.starts_with("cargo run --release -- generate "))
    {
        findings.push(Finding::new(
            README,
            0,
            "no code block runs `cargo run --release -- generate …`",
        ));
    }
    let tests: Vec<_> = commands
        .iter()
        .filter(|(_, command)| command.starts_with("cargo test "))
        .collect();
    if tests.is_empty() {
        findings.push(Finding::new(README, 0, "no code block runs `cargo test …`"));
    }
    for (line, command) in tests {
        if !ci.text.lines().any(|run| run.trim() == *command) {
            findings.push(Finding::new(README, *line, format!("{CI} has no line `{command}`")));
        }
    }
    findings
}

/// Numbered command lines of the fenced blocks, without comments at their ends.
fn commands(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut commands = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            let line = line.split(" #").next().unwrap_or(line);
            commands.push((index + 1, line.trim().trim_start_matches("$ ")));
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(readme: &str, ci: &str) -> usize {
        check(&Repo::of(&[(README, readme), (CI, ci)])).len()
    }

    #[test]
    fn ci_runs_the_readme_s_test_command() {
        let readme = "```sh\ncargo run --release -- generate \"x\"  # writes\ncargo test --workspace # tests\n```\n";
        assert_eq!(count(readme, "set -e\ncargo test --workspace\n"), 0);
        assert_eq!(count(readme, "cargo test\n"), 1);
    }

    #[test]
    fn both_commands_are_asked_for() {
        assert_eq!(count("cargo test --workspace outside of a block", ""), 2);
    }
}
