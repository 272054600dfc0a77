//! Which crate may use which: the arrows of ARCHITECTURE.md.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Finding;

/// Each crate and the crates it points at; what those point at may be used too.
const ARROWS: &[(&str, &[&str])] = &[
    ("files", &[]),
    ("configs", &["files"]),
    ("noise", &[]),
    ("kernels", &["noise"]),
    ("attention", &["kernels"]),
    ("routing", &["kernels"]),
    ("diffusion", &["noise"]),
    ("solver", &["diffusion"]),
    ("gguf", &["kernels"]),
    ("data", &["files", "gguf"]),
    ("model", &["attention", "routing", "diffusion", "data", "configs"]),
    ("training", &["model"]),
    ("generation", &["solver", "model"]),
    ("evaluation", &["generation"]),
    ("jobs", &["evaluation"]),
    ("drdiff", &["training", "jobs"]),
    ("cli", &["drdiff"]),
    ("testkit", &[]),
    ("xtask", &[]),
];

/// The mathematics of the process stays free of any network, and so does all that it uses.
const NO_NETWORK: &[&str] = &["noise", "diffusion", "solver"];

/// A dependency as a crate declares it.
#[derive(Debug)]
pub(super) struct Dependency {
    name: String,
    dev: bool,
}

/// A crate of the workspace: its folder and what it declares.
#[derive(Debug)]
pub(super) struct Crate {
    folder: String,
    dependencies: Vec<Dependency>,
}

/// Asks cargo for the crates of the workspace and their dependencies.
pub(super) fn read(root: &Path) -> Result<Vec<Crate>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .output()
        .context("could not start `cargo metadata`")?;
    if !output.status.success() {
        bail!(
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    parse(&serde_json::from_slice(&output.stdout)?).context("cargo metadata has another shape now")
}

fn parse(metadata: &Value) -> Option<Vec<Crate>> {
    let dependency = |value: &Value| {
        Some(Dependency {
            name: value["name"].as_str()?.to_owned(),
            dev: value["kind"].as_str() == Some("dev"),
        })
    };
    let package = |value: &Value| {
        let manifest = Path::new(value["manifest_path"].as_str()?);
        Some(Crate {
            folder: manifest.parent()?.file_name()?.to_str()?.to_owned(),
            dependencies: value["dependencies"]
                .as_array()?
                .iter()
                .map(dependency)
                .collect::<Option<_>>()?,
        })
    };
    metadata["packages"].as_array()?.iter().map(package).collect()
}

pub(super) fn check(crates: &[Crate]) -> Vec<Finding> {
    crates.iter().flat_map(check_crate).collect()
}

fn check_crate(user: &Crate) -> Vec<Finding> {
    let manifest = format!("{}/Cargo.toml", user.folder);
    let finding = |message: String| Finding::new(&manifest, 0, message);
    if !ARROWS.iter().any(|(folder, _)| *folder == user.folder) {
        return vec![finding(
            "this crate has no arrows; give it a row in crates/xtask/src/tidy/arrows.rs and ARCHITECTURE.md".into(),
        )];
    }
    let allowed = reachable(&user.folder);
    user.dependencies
        .iter()
        .filter_map(|dependency| {
            let name = dependency.name.as_str();
            match name.strip_prefix("drdiff-") {
                Some("testkit") if dependency.dev => None,
                Some("testkit") => Some("testkit may only be a dev-dependency".to_owned()),
                Some(used) if !allowed.contains(used) => {
                    Some(format!("{} may not use {used}: no arrow leads there", user.folder))
                }
                None if name.starts_with("candle-") && NO_NETWORK.contains(&user.folder.as_str()) => {
                    Some(format!("{} may not use {name}: it holds no network", user.folder))
                }
                _ => None,
            }
        })
        .map(finding)
        .collect()
}

/// All crates that the arrows lead to from `folder`.
fn reachable(folder: &str) -> BTreeSet<&'static str> {
    let direct = ARROWS
        .iter()
        .find(|(name, _)| *name == folder)
        .map_or(&[][..], |(_, used)| used);
    direct
        .iter()
        .flat_map(|&used| reachable(used).into_iter().chain([used]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(folder: &str, name: &str, dev: bool) -> Vec<String> {
        let user = Crate {
            folder: folder.into(),
            dependencies: vec![Dependency { name: name.into(), dev }],
        };
        check(&[user]).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn arrows_may_be_followed_down_but_not_up_or_across() {
        assert!(messages("cli", "drdiff-kernels", false).is_empty());
        assert!(messages("generation", "drdiff-attention", false).is_empty());
        assert_eq!(messages("kernels", "drdiff-model", false).len(), 1);
        assert_eq!(messages("training", "drdiff-solver", false).len(), 1);
        assert_eq!(messages("attention", "drdiff-diffusion", true).len(), 1);
    }

    #[test]
    fn the_process_knows_no_network() {
        assert_eq!(messages("solver", "candle-core", true).len(), 1);
        assert!(messages("model", "candle-core", false).is_empty());
    }

    #[test]
    fn testkit_is_for_tests() {
        assert!(messages("solver", "drdiff-testkit", true).is_empty());
        assert_eq!(messages("solver", "drdiff-testkit", false).len(), 1);
    }

    #[test]
    fn a_new_crate_needs_a_row() {
        assert_eq!(messages("helpers", "serde", false).len(), 1);
    }

    #[test]
    fn what_the_process_uses_knows_no_network_either() {
        for folder in NO_NETWORK {
            assert!(
                reachable(folder).iter().all(|used| NO_NETWORK.contains(used)),
                "{folder}"
            );
        }
    }

    #[test]
    fn every_arrow_names_a_crate_in_the_table() {
        for (_, used) in ARROWS {
            for name in *used {
                assert!(ARROWS.iter().any(|(folder, _)| folder == name), "{name}");
            }
        }
    }

    #[test]
    fn metadata_is_read() {
        let metadata = serde_json::json!({ "packages": [{
            "manifest_path": "/somewhere/solver/Cargo.toml",
            "dependencies": [{ "name": "drdiff-testkit", "kind": "dev" }, { "name": "serde", "kind": null }],
        }] });
        let crates = parse(&metadata).expect("the shape is cargo's");
        assert_eq!(crates[0].folder, "solver");
        assert!(crates[0].dependencies[0].dev && !crates[0].dependencies[1].dev);
    }
}
