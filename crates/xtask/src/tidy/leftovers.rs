//! Unfinished code and switched-off tests are not kept.

use super::Finding;
use super::repo::Repo;
use super::source::has_word;

const LEFTOVERS: &[(&str, &str)] = &[
    ("todo!", "finish it or take it out"),
    ("unimplemented!", "finish it or take it out"),
    ("dbg!", "take it out"),
    (
        "#[ignore",
        "a test that does not run proves nothing; make it small enough to run",
    ),
];

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    repo.rust()
        .flat_map(|(file, source)| {
            source
                .code()
                .filter_map(|(line, code)| {
                    let (name, advice) = LEFTOVERS.iter().find(|(name, _)| has_word(code, name))?;
                    Some(Finding::new(&file.path, line, format!("`{name}`: {advice}")))
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_searched_and_text_is_not() {
        let text = "todo!()\n// todo!\n\"dbg!\"\n#[ignore = \"slow\"]\ndbg!(x)\nmytodo!()\n";
        let findings = check(&Repo::of(&[("crates/model/src/a.rs", text)]));
        assert_eq!(findings.iter().map(|f| f.line).collect::<Vec<_>>(), [1, 4, 5]);
    }
}
