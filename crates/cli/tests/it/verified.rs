//! Draft and check with the model that it is for, through the commands.

use std::fs;
use std::path::{Path, PathBuf};

use drdiff_data::Tokenizer;
use drdiff_generation::{Choices, DraftForm, Engine, Event, NetworkKind, Request, Task};
use drdiff_kernels::{DeviceKind, device};
use drdiff_model::{Loading, build, read_gguf};
use serde_json::{Value, json};

use crate::batch::records;
use crate::fixture::{RunExt, drdiff, generate};

/// The model whose context is causal, and which predicts masked positions.
fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/drdiff-smol")
}

/// What `generate` says with these flags.
fn generated(prompt: &str, flags: &[&str]) -> Value {
    let mut command = drdiff();
    command.args([
        "generate",
        prompt,
        "--json",
        "--quiet",
        "--tokens",
        "48",
        "--no-stop",
        "--seed",
        "1",
        "--model",
    ]);
    command.arg(model()).args(flags).run().json()
}

#[test]
fn the_likeliest_text_is_that_of_block_size_one() {
    for prompt in ["The old house", "List three fruits:"] {
        let cold = ["--temperature", "0"];
        let alone = generated(prompt, &cold);
        for length in ["2", "5", "auto"] {
            let verified = ["--commit", "verified", "--draft-length", length];
            let found = generated(prompt, &[&cold[..], &verified].concat());
            assert_eq!(found["ids"], alone["ids"], "drafts of {length} behind {prompt:?}");
            let count = |name: &str| {
                let places = found["drafts"][name].as_array().unwrap().iter();
                places.map(|count| count.as_u64().unwrap()).sum::<u64>()
            };
            assert_eq!(found["drafts"]["cycles"].as_u64().unwrap() + count("accepted"), 48);
            assert!(count("drafted") > count("accepted") && found["nfe"].as_u64() < alone["nfe"].as_u64());
        }
    }
}

#[test]
fn either_form_writes_the_same_text() {
    let device = device(DeviceKind::Cpu).unwrap();
    let path = model().join("model.gguf");
    let checkpoint = read_gguf(&fs::read(&path).unwrap(), &path, &device).unwrap();
    let (network, _) = build(checkpoint, &device, Loading::Inference).unwrap();
    let tokenizer = Tokenizer::from_file(model().join("tokenizer.json")).unwrap();
    let mut engine = Engine::new(network, tokenizer, 1).unwrap();
    let chosen = json!({ "tokens": 40, "commit": "verified", "draft_length": 3, "stop_at_end": false });
    let chosen = Choices::from_json(chosen.as_object().unwrap().clone()).unwrap();
    let settings = chosen.resolve(NetworkKind::of(engine.network().spec())).unwrap();
    let mut outputs = Vec::new();
    for id in 0..3 {
        for form in [DraftForm::TwoPasses, DraftForm::OnePass] {
            engine.draft_in(form);
            let (task, settings) = (
                Task::behind("The old house", engine.tokenizer()).unwrap(),
                settings.clone(),
            );
            engine.submit(Request::new(id, task, settings)).unwrap();
            while !engine.is_idle() {
                outputs.extend(engine.step().unwrap().into_iter().filter_map(|event| match event {
                    Event::Finished { output, .. } => Some(output),
                    _ => None,
                }));
            }
        }
    }
    for pair in outputs.chunks(2) {
        assert_eq!((&pair[0].ids, &pair[0].drafts), (&pair[1].ids, &pair[1].drafts));
        assert!(
            pair[1].nfe < pair[0].nfe && pair[0].nfe <= 40,
            "{} and {} passes",
            pair[0].nfe,
            pair[1].nfe
        );
    }
}

#[test]
fn batch_mates_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.jsonl");
    let line = |id: &str, prompt: &str, length: Value| {
        json!({ "id": id, "prompt": prompt, "tokens": 32, "commit": "verified", "draft_length": length, "seed": 3 })
            .to_string()
    };
    let lines = [
        line("a", "The old house", json!(3)),
        line("b", "Once upon a time", json!("auto")),
        line("c", "It was", json!(3)),
        json!({ "id": "d", "prompt": "The king", "tokens": 32 }).to_string(),
    ];
    fs::write(&input, lines.join("\n")).unwrap();
    let written = |out: &str, batch: &str| {
        let out = dir.path().join(out);
        let mut command = drdiff();
        command
            .arg("batch")
            .arg(&input)
            .arg("-o")
            .arg(&out)
            .args(["--batch", batch, "--model"])
            .arg(model());
        command.run().succeeds();
        records(&out)
    };
    let (alone, together) = (written("alone", "1"), written("together", "4"));
    for id in ["a", "b", "c", "d"] {
        assert_eq!(alone[id]["text"], together[id]["text"], "{id}");
        assert_eq!(alone[id]["drafts"], together[id]["drafts"], "{id}");
    }
    assert!(alone["a"]["drafts"]["cycles"].as_u64().unwrap() > 0 && alone["d"].get("drafts").is_none());
}

#[test]
fn a_trace_tells_each_draft() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace.jsonl");
    let found = generated(
        "The old house",
        &["--commit", "verified", "--trace", trace.to_str().unwrap()],
    );
    let lines = fs::read_to_string(&trace).unwrap();
    let passes: Vec<Value> = lines
        .lines()
        .skip(1)
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let choices = |name: &str| {
        let choices = passes.iter().flat_map(|pass| pass[name].as_array().unwrap());
        choices.map(|choice| choice["token"].clone()).collect::<Vec<Value>>()
    };
    assert_eq!(json!(choices("committed")), found["ids"]);
    assert!(!choices("rejected").is_empty() && !choices("provisional").is_empty());
}

#[test]
fn what_cannot_draft_is_refused_in_a_sentence() {
    let refused = |flags: &[&str], told: &str| {
        generate(&[&["The", "--commit", "verified"], flags].concat())
            .run()
            .fails(2, &[told]);
    };
    refused(&[], "not read causally");
    refused(&["--block-size", "4"], "leave the block size and the steps out");
    refused(&["--process", "hybrid"], "use the process `absorbing`");
    refused(&["--draft-length", "0"], "draft length is 0");
    generate(&["--infill", "It was [[4]].", "--commit", "verified"])
        .run()
        .fails(2, &["fills no gaps"]);
}
