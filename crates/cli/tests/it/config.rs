//! `drdiff config show`, and configuration of `drdiff generate`.

use crate::fixture::{RunExt, drdiff, generate};

#[test]
fn presets_are_listed_and_shown() {
    let text = drdiff().args(["config", "show"]).run().succeeds();
    for word in ["default (for generate)", "small (for train)", "Command:"] {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
    let text = drdiff()
        .args(["config", "show", "small", "--set", "steps=5", "--origin"])
        .run()
        .succeeds();
    let line = |key: &str| {
        text.lines()
            .find(|line| line.trim_start().starts_with(key))
            .unwrap()
            .to_owned()
    };
    assert!(line("steps: 5").ends_with("# --set steps=5"));
    assert!(line("width:").contains("# preset small:"));
    assert!(line("beta1:").ends_with("# default"));
    let text = drdiff().args(["config", "show", "default"]).run().succeeds();
    assert!(text.contains("sampler:") && !text.contains('#'), "{text}");
}

#[test]
fn wrong_lines_of_a_file_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.yaml");
    std::fs::write(&path, "tokens: 30\nsampler:\n  stepps: 4\n").unwrap();
    let ran = generate(&["x", "--config"]).arg(&path).run();
    assert_eq!(ran.code(), 2);
    for word in ["drdiff: ", "mine.yaml:3", "did you mean `steps`", "    3 |   stepps: 4"] {
        assert!(ran.stderr().contains(word), "{word:?} is not in {}", ran.stderr());
    }
}

#[test]
fn flags_win_over_sets_variables_and_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.yaml");
    std::fs::write(&path, "tokens: 30\nblock_size: 10\nseed: 3\nsampler:\n  steps: 4\n").unwrap();
    let mut command = generate(&[
        "x",
        "--no-stop",
        "--json",
        "--set",
        "seed=5",
        "--block-size",
        "4",
        "--config",
    ]);
    let json = command
        .arg(&path)
        .env("DRDIFF_GENERATE__SAMPLER__STEPS", "2")
        .env("DRDIFF_GENERATE__SEED", "9")
        .run()
        .json();
    for (key, value) in [("tokens_committed", 30), ("block_size", 4), ("steps", 2), ("seed", 5)] {
        assert_eq!(json[key], value, "{key}");
    }
}

#[test]
fn blocks_of_another_size_take_as_many_steps_as_they_need() {
    let steps = |args: &[&str]| {
        let mut command = generate(&["x", "--tokens", "2", "--no-stop", "--json"]);
        command.args(args).run().json()["steps"].clone()
    };
    assert_eq!(steps(&[]), 8);
    assert_eq!(steps(&["--block-size", "4"]), 4);
    assert_eq!(steps(&["--set", "block_size=2"]), 2);
    assert_eq!(steps(&["--block-size", "4", "--steps", "3"]), 3);
    generate(&["x", "--block-size", "4", "--set", "sampler.steps=8"])
        .run()
        .fails(2, &["8 steps are more than an absorbing block of 4 can use"]);
}
