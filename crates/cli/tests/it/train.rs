//! `drdiff train`.

use std::path::Path;
use std::process::Command;

use crate::fixture::{RunExt, drdiff, fixture, generate};

/// `drdiff train` with the tiny configuration, into `out`.
fn train(out: &Path, args: &[&str]) -> Command {
    let mut command = drdiff();
    command
        .args(["train", "--config"])
        .arg(fixture().config())
        .arg("--data")
        .arg(fixture().corpus());
    command.arg("-o").arg(out).args(args);
    command
}

#[test]
fn a_run_logs_saves_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let ran = train(&out, &["--set", "steps=3"]).run();
    ran.succeeds();
    let log = ran.stderr();
    for word in [
        "step 3  tokens 384  loss ",
        "grad norm",
        "block size  nats/token",
        "saved",
    ] {
        assert!(log.contains(word), "{word:?} is not in {log}");
    }

    train(&out, &[]).run().fails(2, &["already holds a run", "--resume"]);
    let ran = train(&out, &["--resume"]).run();
    ran.succeeds();
    assert!(
        ran.stderr().contains("step 5") && !ran.stderr().contains("step 3  tokens"),
        "{}",
        ran.stderr()
    );

    let written = drdiff()
        .args(["generate", "Nobody", "--tokens", "8", "--model"])
        .arg(&out)
        .run();
    assert!(written.succeeds().starts_with("Nobody"));
    let json = drdiff().args(["inspect", "--json"]).arg(&out).run().json();
    assert_eq!(json["metadata"]["step"], 5);
}

#[test]
fn a_run_can_begin_with_the_weights_of_a_model() {
    let dir = tempfile::tempdir().unwrap();
    let model = fixture().model();
    let ran = train(&dir.path().join("run"), &["--set", "steps=1", "--quiet", "--from"])
        .arg(&model)
        .run();
    ran.succeeds();
    assert_eq!(ran.stderr(), "");
    generate(&["x", "--tokens", "4"]).run().succeeds();
}

#[test]
fn a_model_is_taught_to_write_in_fewer_steps() {
    let dir = tempfile::tempdir().unwrap();
    let (out, model) = (dir.path().join("few"), fixture().model());
    let rounds = ["--distill", "--set", "steps=4", "--set", "distill.rounds=[4, 2]"];
    train(&out, &rounds).run().fails(2, &["--from"]);
    let ran = train(&out, &rounds).arg("--from").arg(&model).run();
    ran.succeeds();
    let log = ran.stderr();
    for line in [
        "step 0  the student learns to write a block in 4 steps",
        "step 2  the student learns to write a block in 2 steps",
        "step 4  tokens 512  loss ",
    ] {
        assert!(log.contains(line), "{line:?} is not in {log}");
    }
    let plainly = train(&out, &["--set", "steps=4", "--resume"]).run();
    plainly.fails(2, &["`distill` section differs", "--distill"]);
    let written = drdiff()
        .args(["generate", "Nobody", "--tokens", "8", "--steps", "2", "--model"])
        .arg(&out)
        .run();
    assert!(written.succeeds().starts_with("Nobody"));
}

#[test]
fn bad_configurations_are_named_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    train(&out, &["--set", "batch=0"])
        .run()
        .fails(2, &["batch", "at least 1"]);
    train(&out, &["--set", "model.vocab=700"])
        .run()
        .fails(2, &["700", &fixture().vocabulary.to_string()]);
    train(&out, &["--from", "/nowhere"])
        .run()
        .fails(2, &["there is no model at /nowhere"]);
    let stop = train(&out, &["--stop-after", "soon"]).run();
    assert_eq!(stop.code(), 2);
    assert!(stop.stderr().contains("9m"));
    train(&out, &["--set", "stepps=3"])
        .run()
        .fails(2, &["unknown key `stepps`", "did you mean `steps`"]);
    let other = |config: &str| {
        drdiff()
            .args(["train", "--config", config, "--data", "/nowhere", "-o"])
            .arg(&out)
            .run()
    };
    other("/nowhere.yaml").fails(2, &["cannot read the configuration /nowhere.yaml", "check the path"]);
    other("smal").fails(2, &["no train preset `smal`", "did you mean `small`"]);
    other("small").fails(2, &["/nowhere"]);
    assert!(!out.exists());
}

#[test]
fn a_corpus_without_text_to_measure_on_is_learned_from_and_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (text, shards, out) = (
        dir.path().join("a.txt"),
        dir.path().join("shards"),
        dir.path().join("run"),
    );
    std::fs::write(&text, "The old king had three sons. ".repeat(200)).unwrap();
    let mut prepare = drdiff();
    prepare.args(["data", "prepare", "-q", "-o"]).arg(&shards).arg(&text);
    let mut tokenizer = fixture().corpus();
    tokenizer.push("tokenizer.json");
    prepare.arg("--tokenizer").arg(tokenizer).run().succeeds();
    let mut train = drdiff();
    train
        .args(["train", "--config"])
        .arg(fixture().config())
        .arg("--data")
        .arg(&shards);
    let ran = train.arg("-o").arg(&out).run();
    ran.succeeds();
    let told = ran.stderr();
    assert!(
        told.contains("goes on without measuring") && told.contains("no text to measure on"),
        "{told}"
    );
    let first = told.find("note").unwrap();
    assert!(first < told.find("step 1").unwrap(), "before the first step: {told}");
    let log = std::fs::read_to_string(out.join("train.jsonl")).unwrap();
    assert!(!log.contains("validation"), "{log}");
}

#[test]
fn what_a_resumed_run_changes_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    train(&out, &["--set", "steps=1", "--set", "optimizer.ema=0"])
        .run()
        .succeeds();
    train(&out, &["--resume", "--set", "optimizer.ema=0.9"])
        .run()
        .fails(2, &["optimizer.ema"]);
    let same = [
        "--resume",
        "--set",
        "optimizer.ema=0",
        "--set",
        "steps=2",
        "--set",
        "optimizer.learning_rate=1e-4",
    ];
    let ran = train(&out, &same).run();
    ran.succeeds();
    assert!(!ran.stderr().contains("note"), "{}", ran.stderr());
    let other = [
        "--resume",
        "--set",
        "optimizer.ema=0",
        "--set",
        "seed=9",
        "--set",
        "accumulate=2",
    ];
    let ran = train(&out, &other).run();
    ran.succeeds();
    let log = ran.stderr();
    for note in [
        "drdiff: note: the run goes on with another `accumulate`: it was 1 and is 2 now",
        "drdiff: note: the run goes on with another `seed`: it was 0 and is 9 now",
    ] {
        assert!(log.lines().any(|line| line == note), "{note:?} is not in {log}");
    }
    assert_eq!(log.matches("note").count(), 2, "{log}");
}

#[test]
fn numbers_without_a_meaning_are_refused_before_the_first_step() {
    let dir = tempfile::tempdir().unwrap();
    for (key, value) in [
        ("optimizer.learning_rate", "-1e-3"),
        ("optimizer.clip", "0"),
        ("optimizer.beta2", "1"),
        ("optimizer.weight_decay", ".inf"),
        ("block_sizes.4", ".nan"),
        ("self_conditioning", "1.5"),
        ("sampling.document_start", ".nan"),
        ("levels.absorbing", "-1"),
        ("validation_windows", "0"),
        ("batch", "0"),
    ] {
        let key_of = if key.starts_with("block_sizes") {
            "block_sizes"
        } else {
            key
        };
        train(&dir.path().join("run"), &["--set", &format!("{key}={value}")])
            .run()
            .fails(2, &[&format!("`{key_of}`")]);
    }
    assert!(!dir.path().join("run").exists());
}
