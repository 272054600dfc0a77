//! Flags, batch lines, sweep rows and callers of the library that choose the same settings write the same text.

use std::fs;
use std::path::{Path, PathBuf};

use drdiff_data::Tokenizer;
use drdiff_generation::settings::{Kind, SETTINGS};
use drdiff_generation::{Choices, Engine, Event, NetworkKind, Request, Settings, Task};
use drdiff_jobs::batch::Key;
use drdiff_kernels::{DeviceKind, device};
use drdiff_model::{Loading, build, read_gguf};
use serde_json::{Value, json};

use crate::batch::records;
use crate::fixture::{RunExt, drdiff, generate};

const PROMPT: &str = "The old house";

/// A small model that sees 1,024 positions.
fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/drdiff-recall")
}

fn choices(settings: &Value) -> Choices {
    Choices::from_json(settings.as_object().unwrap().clone()).unwrap()
}

/// The flags for some settings.
fn flags(settings: &Value) -> Vec<String> {
    let choices = choices(settings);
    let flag = |setting: &drdiff_generation::settings::Setting| {
        let flag = setting.flag.unwrap();
        let value = match &choices.get(setting.name).unwrap() {
            Value::String(name) => name.clone(),
            Value::Array(texts) => texts[0].as_str().unwrap().to_owned(),
            value => value.to_string(),
        };
        [format!("--{}", flag.long)]
            .into_iter()
            .chain(flag.value.map(|_| value))
            .collect::<Vec<_>>()
    };
    choices.settings().flat_map(flag).collect()
}

/// The program's own text: of `generate`, with its settings.
fn generated(settings: &Value) -> (String, Value) {
    let ran = drdiff()
        .env("DRDIFF_GENERATE__SEED", "0")
        .args(["generate", PROMPT, "--json", "--quiet", "--model"])
        .arg(model())
        .args(flags(settings))
        .run();
    let json = ran.json();
    (json["text"].as_str().unwrap().to_owned(), json["settings"].clone())
}

/// The text of a line in a job that was begun with the flags for `job`.
fn batched(dir: &Path, job: &Value, line: &Value) -> String {
    let (input, out) = (dir.join("in.jsonl"), dir.join("out"));
    let mut line = line.clone();
    (line["id"], line["prompt"]) = (json!("a"), json!(PROMPT));
    fs::write(&input, line.to_string()).unwrap();
    let mut command = drdiff();
    command
        .arg("batch")
        .arg(&input)
        .arg("-o")
        .arg(&out)
        .arg("--model")
        .arg(model())
        .args(flags(job));
    command.run().succeeds();
    let text = records(&out)["a"]["text"].as_str().unwrap().to_owned();
    fs::remove_dir_all(out).unwrap();
    text
}

/// The text of a sweep of one row, with its settings.
fn swept(dir: &Path, settings: &Value) -> (String, Value) {
    let (mut row, file, out) = (settings.clone(), dir.join("sweep.yaml"), dir.join("swept"));
    let tokens = row.as_object_mut().unwrap().remove("tokens").unwrap();
    row.as_object_mut().unwrap().remove("stop_at_end");
    row["model"] = json!(model());
    let sweep = json!({ "prompts": [PROMPT], "settings": { "tokens": tokens, "stop_at_end": false }, "rows": [row] });
    fs::write(&file, sweep.to_string()).unwrap();
    drdiff()
        .arg("sweep")
        .arg(&file)
        .arg("-o")
        .arg(&out)
        .arg("--judge")
        .arg(model())
        .run()
        .succeeds();
    let record: Value = serde_json::from_str(&fs::read_to_string(out.join("texts.jsonl")).unwrap()).unwrap();
    fs::remove_dir_all(out).unwrap();
    (
        record["text"].as_str().unwrap().to_owned(),
        record["made_by"]["settings"].clone(),
    )
}

/// The text of the library for a request of this id.
fn written(engine: &mut Engine, settings: &Settings, id: u64) -> String {
    let (task, settings) = (Task::behind(PROMPT, engine.tokenizer()).unwrap(), settings.clone());
    engine.submit(Request::new(id, task, settings)).unwrap();
    loop {
        for event in engine.step().unwrap() {
            if let Event::Finished { output, .. } = event {
                return output.text;
            }
        }
    }
}

#[test]
fn equal_settings_write_equal_texts_through_every_door() {
    let device = device(DeviceKind::Cpu).unwrap();
    let path = model().join("model.gguf");
    let checkpoint = read_gguf(&fs::read(&path).unwrap(), &path, &device).unwrap();
    let (network, _) = build(checkpoint, &device, Loading::Inference).unwrap();
    let tokenizer = Tokenizer::from_file(model().join("tokenizer.json")).unwrap();
    let mut engine = Engine::new(network, tokenizer, 1).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (settings, steps) in [
        (json!({ "tokens": 24 }), 8),
        (json!({ "tokens": 1024, "block_size": 1024 }), 16),
        (json!({ "tokens": 24, "block_size": 4 }), 4),
        (json!({ "tokens": 24, "steps": 4, "temperature": 0.8 }), 4),
        (
            json!({ "tokens": 24, "block_size": 8, "commit": "margin", "frequency_penalty": 0.2 }),
            8,
        ),
        (
            json!({ "tokens": 40, "block_size": 256, "process": "gaussian", "order": 3 }),
            16,
        ),
        (
            json!({ "tokens": 32, "process": "hybrid", "solver": "sde", "top_p": 0.9 }),
            8,
        ),
    ] {
        let mut settings = settings;
        settings["stop_at_end"] = json!(false);
        let resolved = choices(&settings)
            .resolve(NetworkKind::of(engine.network().spec()))
            .unwrap();
        assert_eq!(resolved.sampler.steps, steps, "{settings}");
        let (text, expected) = (written(&mut engine, &resolved, 0), json!(resolved));
        assert_eq!(generated(&settings), (text.clone(), expected.clone()), "{settings}");
        // A sweep leaves out blocks that no text could fill.
        if resolved.block_size <= resolved.tokens {
            assert_eq!(swept(dir.path(), &settings), (text, expected), "{settings}");
        }
        let text = written(&mut engine, &resolved, Key::of("a").noise);
        let nothing = json!({});
        assert_eq!(batched(dir.path(), &nothing, &settings), text, "{settings} in the line");
        assert_eq!(batched(dir.path(), &settings, &nothing), text, "{settings} as flags");
    }
}

#[test]
fn a_line_changes_what_follows_from_the_flags() {
    let dir = tempfile::tempdir().unwrap();
    let (flags, line) = (
        json!({ "tokens": 300, "block_size": 256 }),
        json!({ "block_size": 4, "seed": 3 }),
    );
    let both = json!({ "tokens": 300, "block_size": 4, "seed": 3 });
    assert_eq!(
        batched(dir.path(), &flags, &line),
        batched(dir.path(), &both, &json!({}))
    );
    let steps = json!({ "tokens": 24, "steps": 2 });
    assert_eq!(
        batched(dir.path(), &steps, &json!({ "block_size": 4 })),
        batched(
            dir.path(),
            &json!({}),
            &json!({ "tokens": 24, "steps": 2, "block_size": 4 })
        ),
        "what a flag says is meant"
    );
}

#[test]
fn every_flag_of_the_table_sets_its_setting() {
    for setting in SETTINGS.iter().filter(|setting| setting.flag.is_some()) {
        let value = match (setting.name, setting.kind) {
            ("compute", _) => json!(1.0),
            ("commit", _) => json!("margin"),
            ("draft_length", _) => json!(3),
            ("attention", _) => json!("dense"),
            ("stop", _) => json!(["x"]),
            (_, Kind::Whole(least, _)) => json!(least + 1),
            (_, Kind::Number(_)) => json!(0.25),
            (_, Kind::Switch) => json!(setting.value(&Settings::default()) == json!(false)),
            (_, Kind::Name(names)) => json!(names().last().unwrap()),
            (name, Kind::Other(_)) => panic!("an example for {name} is missing"),
        };
        let mut chosen = json!({ "process": "hybrid", "tokens": 8 });
        chosen[setting.name] = value;
        let expected = choices(&chosen).resolve(NetworkKind::Masked).unwrap();
        let ran = generate(&["x", "--json"]).args(flags(&chosen)).run();
        assert_eq!(ran.json()["settings"], json!(expected), "{}", setting.name);
    }
}
