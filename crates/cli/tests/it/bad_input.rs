//! Whatever is wrong with the input: one sentence with cause and remedy, and a documented exit code.

use std::fs;
use std::path::Path;

use crate::fixture::{RunExt, drdiff, fixture, generate};

/// A copy of the model that a test may damage.
fn copied_model(dir: &Path) {
    for file in ["model.safetensors", "tokenizer.json"] {
        fs::copy(fixture().model().join(file), dir.join(file)).unwrap();
    }
}

#[test]
fn settings_out_of_range_are_named() {
    let refused = |args: &[&str], words: &[&str]| generate(&["x"]).args(args).run().fails(2, words);
    refused(&["--steps", "0"], &["steps is 0", "at least 1"]);
    refused(&["--tokens", "0"], &["tokens", "at least 1"]);
    refused(&["--block-size", "0"], &["block size", "at least 1"]);
    refused(
        &["--block-size", "65"],
        &["block of 65", "64 that the model allows", "at most 64"],
    );
    refused(
        &["--steps", "17"],
        &["17 steps are more than an absorbing block of 16 can use", "at most 16"],
    );
    refused(&["--attention", "retrieval"], &["`dense` and cannot by `retrieval`"]);
    refused(&["--temperature", "-1"], &["temperature is -1", "0 or more"]);
    refused(&["--top-p", "1.5"], &["top_p is 1.5"]);
    refused(&["--order", "4"], &["order is 4", "1, 2 or 3"]);
    refused(&["--solver", "ddim", "--order", "2"], &["ddim is of order 1"]);
}

#[test]
fn unknown_words_get_the_nearest_known_one() {
    for (args, nearest) in [
        (&["--stepps", "4"][..], "--steps"),
        (&["--process", "gausian"], "gaussian"),
        (&["--solver", "dpmp-2m"], "dpmpp-2m"),
        (&["--commit", "margn"], "margin"),
        (&["--device", "gpu"], "cuda"),
    ] {
        let ran = generate(&["x"]).args(args).run();
        assert_eq!(ran.code(), 2, "{args:?}");
        assert!(ran.stderr().contains(nearest), "{}", ran.stderr());
    }
    let ran = drdiff().arg("genrate").run();
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr().contains("generate"));
}

#[test]
fn prompts_that_are_no_text_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let missing = dir.path().join("missing.txt");
    generate(&["-f"])
        .arg(missing)
        .run()
        .fails(2, &["missing.txt", "No such file"]);
    generate(&["-f"])
        .arg(put("empty.txt", b""))
        .run()
        .fails(2, &["empty.txt is empty", "write a prompt"]);
    generate(&["-f"])
        .arg(put("latin.txt", b"caf\xe9"))
        .run()
        .fails(2, &["not UTF-8 (byte 3)", "iconv"]);
    generate(&[]).run_with(b"\n").fails(2, &["stdin is empty"]);
    generate(&[]).run_with(b"\xff\xfe").fails(2, &["stdin is not UTF-8"]);
}

#[test]
fn models_that_are_none_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let with = |path: &Path| drdiff().args(["generate", "x", "--model"]).arg(path).run();
    with(&dir.path().join("nothing")).fails(2, &["there is no model at"]);
    with(dir.path()).fails(2, &["holds neither model.gguf nor model.safetensors"]);

    copied_model(dir.path());
    let weights = dir.path().join("model.safetensors");
    let whole = fs::read(&weights).unwrap();
    fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    with(dir.path()).fails(2, &["model.safetensors is not a usable checkpoint", "fetch it again"]);
    fs::write(&weights, b"GGUF and then nothing").unwrap();
    with(&weights).fails(2, &["not a usable GGUF model"]);
    fs::write(&weights, &whole).unwrap();
    fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    with(dir.path()).fails(2, &["cannot read the tokenizer"]);
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    copied_model(dir.path());
    let path = dir.path().join("tokenizer.json");
    let mut json = fs::read(&path).unwrap();
    json.push(b'\n');
    fs::write(&path, json).unwrap();
    let ran = drdiff().args(["generate", "x", "--model"]).arg(dir.path()).run();
    ran.fails(
        2,
        &["the tokenizer does not belong to this model", "beside the weights"],
    );
}

#[test]
fn a_terminal_or_a_gpu_that_is_not_there_is_missed() {
    generate(&["x", "--watch"])
        .run()
        .fails(2, &["--watch needs a terminal", "--trace"]);
    // Neither a build without CUDA nor any machine has a hundredth GPU.
    generate(&["x", "--device", "cuda:99"]).run().fails(2, &["use the CPU"]);
}

#[test]
fn a_trace_that_cannot_be_written_is_told_before_the_work() {
    let ran = generate(&["x", "--trace", "/nowhere/at/all/trace.jsonl"]).run();
    ran.fails(2, &["cannot write the trace", "choose another file"]);
    assert_eq!(ran.stdout(), "");
}

#[cfg(not(feature = "bundled-model"))]
#[test]
fn a_build_without_a_model_says_so() {
    let mut command = drdiff();
    command.env_remove("DRDIFF_MODEL").args(["generate", "x"]);
    command.run().fails(2, &["no bundled model"]);
}
