//! A language model writes its own training text: requests are made up, answered and prepared.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::batch::{batch, batch_by, records};
use crate::fixture::{RunExt, drdiff, fixture};

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn put(dir: &Path, name: &str, lines: &[Value]) -> PathBuf {
    let path = dir.join(name);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(&path, text).unwrap();
    path
}

/// The tiny model with a chat template.
fn talking(dir: &Path) -> PathBuf {
    let folder = dir.join("talking");
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(fixture().model()).unwrap() {
        let from = entry.unwrap().path();
        fs::copy(&from, folder.join(from.file_name().unwrap())).unwrap();
    }
    let template = "{% for one in messages %}{{ one.role }}: {{ one.content }}\n{% endfor %}";
    fs::write(folder.join("chat_template.jinja"), template).unwrap();
    fs::write(folder.join("tokenizer_config.json"), "{}").unwrap();
    folder
}

/// Prepares `files` and gives the manifest and what was told.
fn prepared(dir: &Path, model: &Path, out: &str, files: &[&Path], args: &[&str]) -> (Value, String) {
    let out = dir.join(out);
    let mut command = drdiff();
    command.args(["data", "prepare", "--valid-share", "0", "--tokenizer"]);
    command.arg(model).arg("-o").arg(&out).args(files).args(args);
    let ran = command.run();
    ran.succeeds();
    let manifest = fs::read(out.join("manifest.json")).unwrap();
    (serde_json::from_slice(&manifest).unwrap(), ran.stderr())
}

/// The texts of a job in one file beside its folder.
fn merged(out: &Path) -> PathBuf {
    let own = out.with_file_name("own.jsonl");
    let mut command = drdiff();
    command.args(["batch", "merge"]).arg(out).arg("-o").arg(&own);
    command.run().succeeds();
    own
}

#[test]
fn requests_are_made_up_the_same_however_many() {
    let dir = tempfile::tempdir().unwrap();
    let made = |name: &str, args: &[&str]| {
        let out = dir.path().join(name);
        let mut command = drdiff();
        command
            .args(["data", "requests", "-o"])
            .arg(&out)
            .args(args)
            .run()
            .succeeds();
        lines(&out)
    };
    let many = made("many.jsonl", &["-n", "500", "--seed", "1"]);
    assert_eq!(many.len(), 500);
    assert_eq!(made("few.jsonl", &["-n", "20", "--seed", "1"]), many[..20]);
    assert_ne!(made("other.jsonl", &["-n", "20"]), many[..20]);
    let openings = many.iter().filter(|line| line["prompt"].is_string()).count();
    assert!((60..120).contains(&openings), "{openings}");
    for line in &many {
        let (id, opens) = (line["id"].as_str().unwrap(), line["prompt"].is_string());
        assert_eq!(id.starts_with("opening-"), opens, "{line}");
        assert_eq!(line["chat"].is_string(), !opens, "{line}");
    }
    let chats = made("chats.jsonl", &["-n", "50", "--openings", "0"]);
    assert!(chats.iter().all(|line| line["chat"].is_string()));

    let refused = |args: &[&str], words: &[&str]| {
        let out = dir.path().join("refused.jsonl");
        drdiff()
            .args(["data", "requests", "-o"])
            .arg(&out)
            .args(args)
            .run()
            .fails(2, words);
        assert!(!out.exists());
    };
    refused(&["--openings", "1.5"], &["share of openings", "between 0 and 1"]);
    let taken = dir.path().join("few.jsonl");
    drdiff()
        .args(["data", "requests", "-o"])
        .arg(taken)
        .run()
        .fails(2, &["few.jsonl"]);
}

#[test]
fn requests_are_answered_and_the_answers_prepared() {
    let dir = tempfile::tempdir().unwrap();
    let model = talking(dir.path());
    let requests = dir.path().join("requests.jsonl");
    let mut command = drdiff();
    command.args(["data", "requests", "-n", "6", "--seed", "1", "--openings", "0.5", "-o"]);
    command.arg(&requests).run().succeeds();
    let out = dir.path().join("out");
    batch_by(&model, &requests, &out, &[]).run().succeeds();
    let own = merged(&out);
    let records = lines(&own);
    let asked = lines(&requests);
    let openings = asked.iter().filter(|line| line["prompt"].is_string()).count();
    assert!((1..6).contains(&openings), "{openings}");
    for line in &asked {
        let record = records.iter().find(|record| record["id"] == line["id"]).unwrap();
        assert_eq!((&record["prompt"], &record["chat"]), (&line["prompt"], &line["chat"]));
        assert_eq!(record["stop_reason"], "length");
    }
    // All end at the limit: the openings are texts, and the answers have no end.
    let (manifest, told) = prepared(dir.path(), &model, "shards", &[&own], &[]);
    assert_eq!(manifest["train"]["text"]["documents"], openings);
    assert_eq!(manifest["cut_conversations"], 6 - openings);
    assert!(told.contains("cut off at the limit"), "{told}");
}

#[test]
fn a_message_needs_a_template_and_fails_alone_without_one() {
    let dir = tempfile::tempdir().unwrap();
    let input = put(
        dir.path(),
        "in.jsonl",
        &[
            json!({ "id": "plain", "prompt": "Nobody" }),
            json!({ "id": "asked", "chat": "Who?", "system": "Be kind." }),
            json!({ "id": "both", "chat": "Who?", "prompt": "Nobody" }),
        ],
    );
    let out = dir.path().join("out");
    let ran = batch(&input, &out, &[]).run();
    assert_eq!(ran.code(), 1, "{}", ran.stderr());
    assert_eq!(records(&out).keys().collect::<Vec<_>>(), ["plain"]);
    let errors = lines(&out.join("errors-00000-of-00001.jsonl"));
    let of = |id: &str| errors.iter().find(|error| error["id"] == id).unwrap().to_string();
    assert!(of("asked").contains("chat template"), "{}", of("asked"));
    assert!(of("both").contains("exclude each other"), "{}", of("both"));

    let (model, out) = (talking(dir.path()), dir.path().join("answered"));
    batch_by(&model, &input, &out, &[]).run();
    let records = records(&out);
    assert_eq!(
        (&records["asked"]["chat"], &records["asked"]["system"]),
        (&json!("Who?"), &json!("Be kind."))
    );
}

#[test]
fn messages_of_openai_are_answered_by_the_template_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let messages = json!([{ "role": "user", "content": "Who?" }]);
    let body = json!({ "messages": messages, "max_tokens": 4 });
    let line = json!({ "custom_id": "a", "url": "/v1/chat/completions", "body": body });
    let input = put(dir.path(), "in.jsonl", &[line]);
    let (model, out) = (talking(dir.path()), dir.path().join("out"));
    let mut tokens = Vec::new();
    for (model, out) in [
        (model.clone(), out.clone()),
        (fixture().model(), dir.path().join("plain")),
    ] {
        batch_by(&model, &input, &out, &["--format", "openai"]).run().succeeds();
        let record = &records(&out)["a"];
        let body = &record["response"]["body"];
        tokens.push(body["usage"]["prompt_tokens"].as_u64().unwrap());
        let asked = &body["diffusion"];
        match tokens.len() {
            1 => assert_eq!(asked["messages"], messages),
            _ => assert_eq!(asked["prompt"], "Who?"),
        }
    }
    assert!(tokens[0] > tokens[1], "the template adds the role: {tokens:?}");
    let own = merged(&out);
    let whole = fs::read_to_string(&own).unwrap();
    assert!(whole.contains("\"finish_reason\":\"length\""), "{whole}");
    fs::write(
        &own,
        whole.replace("\"finish_reason\":\"length\"", "\"finish_reason\":\"stop\""),
    )
    .unwrap();
    let (manifest, _) = prepared(dir.path(), &model, "shards", &[&own], &[]);
    assert_eq!(manifest["train"]["text"]["documents"], 1);
}

#[test]
fn texts_that_repeat_themselves_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let model = talking(dir.path());
    let plain = "The old king walked to the river, and nobody could find the key of his sister.";
    let looped = "Her brother sold 17 apples. ".repeat(20);
    let file = put(
        dir.path(),
        "own.jsonl",
        &[
            json!({ "id": "opening-0", "prompt": "The miller", "text": format!(" said: {plain}"), "stop_reason": "length" }),
            json!({ "id": "opening-1", "prompt": "The miller", "text": looped, "stop_reason": "length" }),
            json!({ "id": "story-2", "chat": "Who?", "text": plain, "stop_reason": "end" }),
            json!({ "id": "story-3", "chat": "Who?", "text": looped, "stop_reason": "end" }),
            json!({ "id": "story-4", "chat": "Who?", "text": plain, "stop_reason": "length" }),
        ],
    );
    let (all, told) = prepared(dir.path(), &model, "all", &[&file], &[]);
    assert_eq!(all["train"]["text"]["documents"], 4);
    assert_eq!(
        (&all["repeating_documents"], &all["cut_conversations"]),
        (&Value::Null, &json!(1))
    );
    assert!(!told.contains("repeat themselves"), "{told}");
    let (some, told) = prepared(dir.path(), &model, "some", &[&file], &["--repeats", "0.25"]);
    assert_eq!(some["train"]["text"]["documents"], 2);
    assert_eq!(some["repeating_documents"], 2);
    assert_eq!(some["options"]["repeats"], 0.25);
    assert!(told.contains("left out: 2 documents; they repeat themselves"), "{told}");

    let mut refused = drdiff();
    refused
        .args(["data", "prepare", "--repeats", "25", "-o"])
        .arg(dir.path().join("no"))
        .arg(&file);
    refused.run().fails(2, &["the share of repeats", "between 0 and 1"]);
}
