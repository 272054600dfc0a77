//! What is written, and what is never overwritten.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::fixture::{RunExt, documents, drdiff, fixture, generate, small_model};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn reports_replace_reports_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("texts.jsonl"), documents(0..2)).unwrap();
    fs::write(at("diary.txt"), "diary").unwrap();
    let eval = |out: &str| {
        drdiff()
            .args(["eval", "--model"])
            .arg(fixture().model())
            .arg(at("texts.jsonl"))
            .args(["-q", "-o"])
            .arg(at(out))
            .run()
    };
    eval("report.json").succeeds();
    eval("report.json").succeeds();
    eval("diary.txt").fails(2, &["diary.txt already exists and is no report"]);
    eval("texts.jsonl").fails(2, &["is what this command reads"]);
    fs::hard_link(at("texts.jsonl"), at("other.jsonl")).unwrap();
    eval("other.jsonl").fails(2, &["is what this command reads"]);

    let trace = |out: &str| {
        generate(&["Nobody", "--tokens", "4", "-q", "--trace"])
            .arg(at(out))
            .run()
    };
    trace("trace.jsonl").succeeds();
    trace("trace.jsonl").succeeds();
    trace("diary.txt").fails(2, &["is no trace"]);
    trace("report.json").fails(2, &["is no trace"]);
    generate(&["Nobody", "-q", "--trace", "t", "--explain", "./t"])
        .run()
        .fails(2, &["./t"]);
    assert_eq!(fs::read_to_string(at("diary.txt")).unwrap(), "diary");
    assert_eq!(
        names(dir.path()),
        ["diary.txt", "other.jsonl", "report.json", "texts.jsonl", "trace.jsonl"]
    );
}

#[test]
fn a_prompt_on_stdin_and_the_text_on_stdout_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (prompt, text) = (dir.path().join("prompt.txt"), dir.path().join("text.txt"));
    fs::write(&prompt, "Nobody\n").unwrap();
    let mut command = generate(&["--tokens", "4", "-q", "--trace"]);
    command.arg(&prompt).stdin(fs::File::open(&prompt).unwrap());
    command.run().fails(2, &["is what this command reads"]);
    let mut command = generate(&["Nobody", "--tokens", "4", "-q", "--trace"]);
    let done = command
        .arg(&text)
        .stdout(fs::File::create(&text).unwrap())
        .status()
        .unwrap();
    assert_eq!(done.code(), Some(2));
    assert_eq!(fs::read_to_string(&prompt).unwrap(), "Nobody\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_is_told_and_a_reader_may_go_away() {
    let recall = |out: &str| {
        let mut command = drdiff();
        command.args([
            "data",
            "recall",
            "--texts",
            "1",
            "--bytes",
            "300",
            "--needles",
            "1",
            "-o",
            out,
        ]);
        command.run()
    };
    recall("/dev/full").fails(3, &["cannot write /dev/full", "make room"]);
    recall("/dev/null").succeeds();
    assert_eq!(recall("/dev/stdout").succeeds().lines().count(), 1);
}

#[test]
fn an_export_replaces_an_earlier_one_of_its_model_alone() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let export = |from: &Path, out: &str, flags: &[&str]| {
        drdiff()
            .arg("export")
            .arg(from)
            .arg("-o")
            .arg(at(out))
            .arg("-q")
            .args(flags)
            .run()
    };
    let model = fixture().model();
    export(&model, "model.gguf", &["--with-tokenizer"]).succeeds();
    export(&model, "model.gguf", &["--with-tokenizer", "--quant", "q4_k"]).succeeds();
    fs::write(at("other.gguf"), "GGUF and somebody else's weights").unwrap();
    export(&model, "other.gguf", &[]).fails(2, &["is no earlier export of this model"]);
    fs::copy(model.join("model.safetensors"), at("own.safetensors")).unwrap();
    export(&at("own.safetensors"), "own.safetensors", &[]).fails(2, &["is what this command reads"]);
    fs::write(at("tokenizer.json"), "{}").unwrap();
    export(&model, "new.gguf", &["--with-tokenizer"]).fails(2, &["is the tokenizer of another model"]);
    export(&model, "tokenizer.json", &["--with-tokenizer"]).fails(2, &["no place for a tokenizer"]);
    assert!(!at("new.gguf").exists());
    assert_eq!(fs::read_to_string(at("tokenizer.json")).unwrap(), "{}");
}

#[test]
fn an_export_in_eight_bits_becomes_a_smaller_one() {
    let dir = tempfile::tempdir().unwrap();
    let export = |from: &Path, to: &Path, quant: &str| {
        let mut command = drdiff();
        command.arg("export").arg(from).arg("-o").arg(to);
        command.args(["--quant", quant, "--with-tokenizer", "-q"]).run()
    };
    let write = |model: &Path| {
        let mut command = drdiff();
        command
            .args(["generate", "The key", "--tokens", "16", "-q", "--model"])
            .arg(model);
        command.run().succeeds()
    };
    let eight = small_model().join("model.gguf");
    for quant in ["q4_0", "q4_1", "q5_0", "q4_k"] {
        fs::create_dir(dir.path().join(quant)).unwrap();
        let small = dir.path().join(quant).join("model.gguf");
        export(&eight, &small, quant).succeeds();
        let size = |path: &Path| fs::metadata(path).unwrap().len();
        if quant != "q4_k" {
            assert!(size(&small) < size(&eight), "{quant}");
            export(&small, &dir.path().join("again.gguf"), quant).fails(2, &["is in few bits already"]);
        }
        assert_eq!(write(&small), write(&small), "{quant}");
    }
    export(&eight, &dir.path().join("same.gguf"), "q8_0").fails(2, &["is in few bits already"]);
}

#[test]
fn a_model_of_the_environment_is_the_default_and_no_output() {
    let inspect = |model: Option<&Path>| drdiff().args(["inspect", "--json"]).args(model).run().succeeds();
    assert_eq!(inspect(None), inspect(Some(&small_model())));
    let dir = tempfile::tempdir().unwrap();
    let weights = dir.path().join("model.gguf");
    for name in ["model.gguf", "tokenizer.json"] {
        fs::copy(small_model().join(name), dir.path().join(name)).unwrap();
    }
    let mut command = drdiff();
    command.env("DRDIFF_MODEL", dir.path());
    command
        .args(["generate", "x", "-q", "--tokens", "4", "--trace"])
        .arg(&weights);
    command.run().fails(2, &["is what this command reads"]);
    let mut bundled = drdiff();
    bundled.env("DRDIFF_MODEL", "").args(["inspect", "--json"]);
    #[cfg(feature = "bundled-model")]
    assert_ne!(bundled.run().succeeds(), inspect(None));
    #[cfg(not(feature = "bundled-model"))]
    bundled.run().fails(2, &["no bundled model"]);
}

#[test]
fn a_job_does_not_read_what_it_writes() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("in.txt"), "Nobody\n").unwrap();
    let batch = |input: &str| {
        let mut command = drdiff();
        command.arg("batch").arg(at(input)).arg("-o").arg(dir.path());
        command.arg("--model").arg(fixture().model());
        command.args(["--tokens", "4", "-q"]).run()
    };
    batch("in.txt").succeeds();
    let part = fs::read(at("part-00000-of-00001.jsonl")).unwrap();
    batch("part-00000-of-00001.jsonl").fails(2, &["is what this command reads"]);
    let merge = |out: &str| {
        drdiff()
            .args(["batch", "merge"])
            .arg(dir.path())
            .arg("-o")
            .arg(at(out))
            .run()
    };
    merge("part-00000-of-00001.jsonl").fails(2, &["already exists"]);
    merge("part-00000-of-00001.jsonl.partial").fails(2, &["already exists"]);
    merge("all.jsonl").succeeds();
    assert_eq!(fs::read(at("part-00000-of-00001.jsonl")).unwrap(), part);
}

#[test]
fn a_sweep_leaves_other_files_of_its_names() {
    let dir = tempfile::tempdir().unwrap();
    let texts = dir.path().join("texts.jsonl");
    fs::write(&texts, "not a line of a sweep").unwrap();
    let model = format!("grid.model=[{:?}]", fixture().model().display().to_string());
    let sweep = drdiff()
        .args(["sweep", "quick", "-q", "--set", &model, "-o"])
        .arg(dir.path())
        .run();
    sweep.fails(2, &["texts.jsonl already exists"]);
    assert_eq!(fs::read_to_string(&texts).unwrap(), "not a line of a sweep");
    assert_eq!(names(dir.path()), ["texts.jsonl"]);
}

#[test]
fn inspect_tells_a_model_from_a_state() {
    let json = drdiff().args(["inspect", "--json"]).arg(fixture().model()).run().json();
    assert_eq!(json["kind"], Value::from("model"));
}
