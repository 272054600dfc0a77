//! A preset says how to run it, how long that takes and what to expect.

use super::Finding;
use super::repo::Repo;

const FOLDER: &str = "configs/presets/";
const FIELDS: &[&str] = &["command:", "time:", "expected:"];

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    repo.files
        .iter()
        .filter(|file| file.path.starts_with(FOLDER) && matches!(file.extension(), "yaml" | "yml"))
        .flat_map(|file| {
            let header: Vec<String> = file
                .text
                .lines()
                .map_while(|line| line.strip_prefix('#'))
                .map(|line| line.trim().to_lowercase())
                .collect();
            FIELDS
                .iter()
                .filter(move |field| !header.iter().any(|line| line.starts_with(**field)))
                .map(|field| Finding::new(&file.path, 1, format!("the header comment has no `# {field}` line")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_lines_are_asked_for_at_the_top() {
        let whole = "# Command: drdiff train --config tiny\n# Time: 1 min\n# Expected: a bound\nsteps: 1\n";
        assert!(check(&Repo::of(&[("configs/presets/train/tiny.yaml", whole)])).is_empty());
        let late = "# Command: drdiff train\nsteps: 1\n# Time: 1 min\n# Expected: x\n";
        assert_eq!(check(&Repo::of(&[("configs/presets/a.yaml", late)])).len(), 2);
        assert!(check(&Repo::of(&[("configs/src/a.yaml", "")])).is_empty());
    }
}
