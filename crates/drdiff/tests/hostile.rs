//! Settings of any kind and size are resolved or refused, in little memory and without a panic.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use drdiff_configs::{Inputs, Section, presets};
use drdiff_generation::settings::Configured;
use drdiff_jobs::sweep::SweepConfig;
use drdiff_testkit::{cases, limited};
use drdiff_training::TrainConfig;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{TestCaseResult, TestRunner};
use serde_json::Value;

/// Memory that each of these tests may have.
const MEBIBYTES: u64 = 1024;

/// Tries a property ten thousand times, or as often as `PROPTEST_CASES` says.
fn try_all<S: Strategy>(strategy: &S, test: impl Fn(S::Value) -> TestCaseResult) {
    let config = ProptestConfig {
        cases: cases(10_000),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    };
    TestRunner::new(config).run(strategy, test).unwrap();
}

/// YAML of any kind, and numbers at which arithmetic goes wrong.
fn yaml() -> impl Strategy<Value = String> {
    let words = [
        "null",
        "true",
        "-1",
        "0",
        "1",
        "2",
        "64",
        "0.5",
        "1e308",
        "-1e308",
        "1e-320",
        ".inf",
        "-.inf",
        ".nan",
        "18446744073709551615",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551616",
        "4294967296",
        "1099511627776",
        "dense",
        "absorbing",
        "''",
        "!only {}",
        "!other 1",
        "~",
        "&a [*a]",
        "*b",
        "{",
        "[",
        "\t",
        "2001-01-01",
        "0x10",
        "é",
    ];
    let leaf = prop_oneof![
        4 => select(words.to_vec()).prop_map(str::to_owned),
        1 => any::<u64>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_map(|number| format!("{number:?}")),
        1 => "[ -~]{0,12}",
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|list| format!("[{}]", list.join(", "))),
            (select(vec!["type", "min", "max", "1", "16", "x"]), inner)
                .prop_map(|(key, value)| format!("{{{key}: {value}}}")),
        ]
    })
}

/// The paths of all settings within a value, joined by dots.
fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
    if !path.is_empty() {
        found.push(path.to_owned());
    }
    if let Value::Object(map) = value {
        for (key, value) in map {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            paths(value, &path, found);
        }
    }
}

fn any_settings<T: Section>() {
    let all: Vec<&str> = presets(T::NAME).map(|preset| preset.name).collect();
    let found = all.iter().map(|name| {
        let mut inputs = Inputs::default();
        inputs.config(name);
        let value = serde_json::to_value(&inputs.resolve::<T>().unwrap().value).unwrap();
        let mut found = Vec::new();
        paths(&value, "", &mut found);
        (*name, found)
    });
    let found: Vec<(&str, Vec<String>)> = found.collect();
    let sets = prop::collection::vec((any::<Index>(), yaml()), 1..4);
    try_all(&(select(found), sets), |((preset, paths), sets)| {
        let mut inputs = Inputs::default();
        inputs.config(preset);
        for (place, value) in sets {
            inputs.set(&format!("{}={value}", paths[place.index(paths.len())]));
        }
        let _ = inputs.resolve::<T>();
        Ok(())
    });
}

#[test]
fn any_settings_of_training() {
    if limited("any_settings_of_training", MEBIBYTES) {
        any_settings::<TrainConfig>();
    }
}

#[test]
fn any_settings_of_writing() {
    if limited("any_settings_of_writing", MEBIBYTES) {
        any_settings::<Configured>();
    }
}

#[test]
fn any_settings_of_sweeps() {
    if limited("any_settings_of_sweeps", MEBIBYTES) {
        any_settings::<SweepConfig>();
    }
}

#[test]
fn any_text_of_a_file() {
    if limited("any_text_of_a_file", MEBIBYTES) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.yaml");
        let texts: Vec<&str> = presets(TrainConfig::NAME).map(|preset| preset.text).collect();
        let change = (any::<Index>(), any::<Index>(), yaml());
        try_all(
            &(select(texts), prop::collection::vec(change, 1..5)),
            |(text, changes)| {
                let mut text: Vec<char> = text.chars().collect();
                for (from, to, yaml) in changes {
                    let (from, to) = (from.index(text.len() + 1), to.index(text.len() + 1));
                    let end = from.max(to).min(from.min(to) + 20);
                    text.splice(from.min(to)..end, yaml.chars());
                }
                std::fs::write(&path, text.into_iter().collect::<String>()).unwrap();
                let mut inputs = Inputs::default();
                inputs.config(&path.display().to_string());
                let _ = inputs.resolve::<TrainConfig>();
                Ok(())
            },
        );
        let lists = "[".repeat(100_000);
        let anchors: String = (1..40)
            .map(|i| format!("a{i}: &a{i} [*a{0}, *a{0}, *a{0}]\n", i - 1))
            .collect();
        for text in [lists, format!("a0: &a0 [x, x]\n{anchors}")] {
            std::fs::write(&path, text).unwrap();
            let mut inputs = Inputs::default();
            inputs.config(&path.display().to_string());
            assert!(inputs.resolve::<TrainConfig>().is_err());
        }
    }
}
