//! `drdiff batch`: files of requests to files of texts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::fixture::{RunExt, drdiff, fixture};

/// `drdiff batch` with the tiny model and few tokens, without what a scheduler may have set around the tests.
pub(crate) fn batch(input: &Path, out: &Path, args: &[&str]) -> Command {
    batch_by(&fixture().model(), input, out, args)
}

/// [`batch`] with the model in a folder.
pub(crate) fn batch_by(model: &Path, input: &Path, out: &Path, args: &[&str]) -> Command {
    let mut command = drdiff();
    for variable in [
        "SLURM_ARRAY_TASK_ID",
        "JOB_COMPLETION_INDEX",
        "AWS_BATCH_JOB_ARRAY_INDEX",
        "DRDIFF_SHARDS",
    ] {
        command.env_remove(variable);
    }
    command.arg("batch").arg(input).arg("-o").arg(out);
    command.arg("--model").arg(model);
    command.args(["--tokens", "8", "--steps", "2", "--no-stop"]).args(args);
    command
}

/// The records of all parts by id, without the times.
pub(crate) fn records(out: &Path) -> BTreeMap<String, Value> {
    let mut records = BTreeMap::new();
    for path in files(out, "part-")
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ext| ext != "done"))
    {
        for line in fs::read_to_string(path).unwrap().lines() {
            let mut record: Value = serde_json::from_str(line).unwrap();
            record.as_object_mut().unwrap().remove("seconds");
            let id = record
                .get("custom_id")
                .unwrap_or(&record["id"])
                .as_str()
                .unwrap()
                .to_owned();
            assert!(records.insert(id, record).is_none(), "a request has two records");
        }
    }
    records
}

fn files(out: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(prefix))
        .collect();
    files.sort();
    files
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn lines_of_text_become_texts_and_equal_lines_different_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (
        write(dir.path(), "in.txt", "The old king\n\nNobody\nThe old king\n"),
        dir.path().join("out"),
    );
    let ran = batch(&input, &out, &[]).run();
    assert_eq!(ran.succeeds(), "");
    assert!(ran.stderr().contains("out holds 3 texts;"), "{}", ran.stderr());
    let records = records(&out);
    let of_king: Vec<&Value> = records
        .values()
        .filter(|record| record["prompt"] == "The old king")
        .collect();
    assert_eq!((records.len(), of_king.len()), (3, 2));
    assert_ne!(of_king[0]["text"], of_king[1]["text"]);
    for record in records.values() {
        assert_eq!(
            (&record["tokens"], &record["nfe"], &record["seed"]),
            (&json!(8), &json!(2), &json!(0))
        );
        assert_eq!(
            (&record["stop_reason"], &record["steps"]),
            (&json!("length"), &json!(2))
        );
    }
    let manifest: Value = serde_json::from_slice(&fs::read(out.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(
        (&manifest["settings"]["tokens"], &manifest["input_format"]),
        (&json!(8), &json!("text"))
    );
    assert_eq!(manifest["model_hash"].as_str().unwrap().len(), 64);
    let again = batch(&input, &out, &[]).run();
    again.succeeds();
    assert!(
        again.stderr().contains("already there: 3 texts, to be written: 0"),
        "{}",
        again.stderr()
    );
    let quiet = batch(&input, &out, &["--quiet"]).run();
    assert_eq!((quiet.succeeds(), quiet.stderr()), (String::new(), String::new()));
}

#[test]
fn a_pipe_is_an_input_too() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let text =
        "{\"id\": \"a\", \"prompt\": \"Nobody\", \"tokens\": 4}\n{\"id\": \"b\", \"infill\": \"The [[2]] king\"}\n";
    batch(Path::new("-"), &out, &[]).run_with(text.as_bytes()).succeeds();
    let records = records(&out);
    assert_eq!(
        (&records["a"]["tokens"], &records["b"]["infill"]),
        (&json!(4), &json!("The [[2]] king"))
    );
    assert!(records["b"]["text"].as_str().unwrap().ends_with("king"));
}

#[test]
fn openai_lines_are_answered_in_their_form() {
    let dir = tempfile::tempdir().unwrap();
    let line = |id: &str, url: &str, body: Value| {
        json!({ "custom_id": id, "method": "POST", "url": url, "body": body }).to_string() + "\n"
    };
    let text = [
        line(
            "c",
            "/v1/completions",
            json!({ "model": "m", "prompt": "Nobody", "max_tokens": 5, "logit_bias": {} }),
        ),
        line(
            "m",
            "/v1/chat/completions",
            json!({ "messages": [{ "role": "user", "content": "Nobody" }], "best_of": 1, "logit_bias": {} }),
        ),
        line(
            "d",
            "/v1/completions",
            json!({ "prompt": "Nobody", "diffusion": { "stepz": 3 } }),
        ),
    ];
    let (input, out) = (write(dir.path(), "in.jsonl", &text.concat()), dir.path().join("out"));
    let ran = batch(&input, &out, &["--format", "openai"]).run();
    assert_eq!(ran.code(), 1, "{}", ran.stderr());
    assert_eq!(ran.stderr().matches("logit_bias").count(), 1, "{}", ran.stderr());
    assert!(ran.stderr().contains("have no meaning here: best_of, logit_bias"));
    let records = records(&out);
    let body = |id: &str| &records[id]["response"]["body"];
    assert_eq!(
        (&records["c"]["response"]["status_code"], &records["c"]["error"]),
        (&json!(200), &Value::Null)
    );
    assert!(body("c")["choices"][0]["text"].is_string() && body("m")["choices"][0]["message"]["content"].is_string());
    assert_eq!(
        (&body("c")["usage"]["completion_tokens"], &body("c")["diffusion"]["nfe"]),
        (&json!(5), &json!(2))
    );
    let errors = fs::read_to_string(&files(&out, "errors-")[0]).unwrap();
    assert!(errors.contains("did you mean `steps`?"), "{errors}");
    batch(&input, &out, &[]).run().fails(
        2,
        &[
            "format = \"openai\", and now format is \"drdiff\"",
            "choose another folder",
        ],
    );
}

#[test]
fn bad_lines_are_told_with_their_numbers_and_failures_tried_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let text = "{\"prompt\": \"a\", \"id\": 1}\nnonsense\n{\"prompt\": \"a\", \"id\": 2, \"block_size\": 99}\n{\"promt\": \"a\"}\n";
    let (input, out) = (write(dir.path(), "in.jsonl", text), dir.path().join("out"));
    let ran = batch(&input, &out, &[]).run();
    assert_eq!(ran.code(), 1);
    assert!(
        ran.stderr()
            .contains("1 failed request and 2 unusable lines, see the errors file"),
        "{}",
        ran.stderr()
    );
    let errors: Vec<Value> = fs::read_to_string(&files(&out, "errors-")[0])
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut lines: Vec<u64> = errors.iter().map(|error| error["line"].as_u64().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, [2, 3, 4]);
    assert!(
        errors
            .iter()
            .any(|error| error["error"].as_str().unwrap().contains("did you mean `prompt`?"))
    );

    let again = batch(&input, &out, &[]).run();
    assert_eq!(again.code(), 1);
    assert!(again.stderr().contains("--retry-failed"), "{}", again.stderr());
    // Corrected, all of it is done.
    write(
        dir.path(),
        "in.jsonl",
        "{\"prompt\": \"a\", \"id\": 1}\n{\"prompt\": \"a\", \"id\": 2, \"block_size\": 9}\n",
    );
    batch(&input, &out, &["--retry-failed"]).run().succeeds();
    assert!(files(&out, "errors-").is_empty());
}

#[test]
fn shards_come_from_flags_and_schedulers_and_are_put_together() {
    let dir = tempfile::tempdir().unwrap();
    let lines: String = (0..12).map(|n| format!("Tale {n}\n")).collect();
    let input = write(dir.path(), "in.txt", &lines);
    let (whole, split) = (dir.path().join("whole"), dir.path().join("split"));
    batch(&input, &whole, &["--batch", "1"]).run().succeeds();
    batch(&input, &split, &["--shard", "0/3"]).run().succeeds();
    let slurm = [
        ("SLURM_ARRAY_TASK_ID", "1"),
        ("SLURM_ARRAY_TASK_COUNT", "3"),
        ("SLURM_ARRAY_TASK_MIN", "0"),
    ];
    let ran = batch(&input, &split, &[]).envs(slurm).run();
    ran.succeeds();
    assert!(
        ran.stderr().contains("this is shard 1/3, says SLURM_ARRAY_TASK_ID"),
        "{}",
        ran.stderr()
    );

    let status = |dir: &Path| drdiff().args(["batch", "status", "--json"]).arg(dir).run().json();
    let states: Vec<Value> = status(&split)["shards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["progress"].clone())
        .collect();
    assert_eq!(states, ["done", "done", "waiting"]);
    let merged = dir.path().join("merged.jsonl");
    let merge = |from: &Path| drdiff().args(["batch", "merge"]).arg(from).arg("-o").arg(&merged).run();
    merge(&split).fails(2, &["1 of 3 shards are not done (the first is 2)"]);
    let verify = || {
        drdiff()
            .args(["batch", "verify"])
            .arg(&split)
            .arg("--input")
            .arg(&input)
            .run()
    };
    assert_eq!(verify().code(), 1);
    assert!(
        verify().stdout().contains("the shard 2/3 is not done"),
        "{}",
        verify().stdout()
    );

    let pod = [("JOB_COMPLETION_INDEX", "2"), ("DRDIFF_SHARDS", "3")];
    batch(&input, &split, &[]).envs(pod).run().succeeds();
    assert!(
        verify()
            .succeeds()
            .contains("3 of 3 shards done, 12 texts, 0 failed requests, 0 problems")
    );
    assert_eq!(records(&split), records(&whole));
    merge(&split).succeeds();
    assert_eq!(fs::read_to_string(&merged).unwrap().lines().count(), 12);
    merge(&split).fails(2, &["merged.jsonl already exists"]);
    let table = drdiff().args(["batch", "status"]).arg(&split).run().succeeds();
    assert!(table.contains("all      3 done           12          0"), "{table}");
}

#[test]
fn what_cannot_be_is_told_before_the_work() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (write(dir.path(), "in.txt", "Nobody\n"), dir.path().join("out"));
    batch(&dir.path().join("missing.txt"), &out, &[])
        .run()
        .fails(2, &["cannot read", "missing.txt"]);
    let ran = batch(&input, &out, &["--shard", "3/3"]).run();
    assert!(
        ran.code() == 2 && ran.stderr().contains("counted from 0"),
        "{}",
        ran.stderr()
    );
    batch(&input, &out, &["--shards", "3"])
        .run()
        .fails(2, &["nothing says which of 3 shards this is", "--shard I/3"]);
    let pod = batch(&input, &out, &[]).env("JOB_COMPLETION_INDEX", "0").run();
    pod.fails(2, &["JOB_COMPLETION_INDEX is 0", "DRDIFF_SHARDS"]);
    batch(&input, &out, &["--top-p", "1.5"])
        .run()
        .fails(2, &["top_p is 1.5"]);
    assert!(!out.exists());
    batch(&input, &input, &[])
        .run()
        .fails(2, &["cannot make the folder", "choose another name"]);
    batch(dir.path(), &out, &[])
        .run()
        .fails(2, &["cannot read", "name a file"]);
    drdiff()
        .args(["batch", "status"])
        .arg(dir.path())
        .run()
        .fails(2, &["holds no job", "manifest.json"]);
    let bare = drdiff().arg("batch").run();
    assert!(bare.code() == 2 && bare.stderr().contains("-o"), "{}", bare.stderr());

    batch(&input, &out, &[]).run().succeeds();
    batch(&input, &out, &["--temperature", "0.25", "--top-p", "0.5"])
        .run()
        .fails(
            2,
            &[
                "settings.sampler.sampling.temperature = ",
                "is 0.25 (and 1 more differ)",
                "go on as it was begun",
            ],
        );
}

#[test]
fn progress_can_be_read_by_programs() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (
        write(dir.path(), "in.txt", "Nobody\nA grey cat\n"),
        dir.path().join("out"),
    );
    let ran = batch(&input, &out, &["--json-progress"]).run();
    ran.succeeds();
    let events: Vec<Value> = ran
        .stderr()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = events.last().unwrap();
    assert_eq!(
        (&last["event"], &last["done"], &last["due"]),
        (&json!("finished"), &json!(2), &json!(2))
    );
    assert_eq!(
        (&last["tokens"], &last["nfe"], &last["eta_seconds"]),
        (&json!(16), &json!(4), &json!(0.0))
    );
    assert_eq!(last["shard"]["records"], 2);
    assert!(events.iter().all(|event| event["tokens_per_second"].is_number()));
}

#[test]
fn a_fixed_batch_gives_the_same_texts_and_is_a_folder_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (
        write(dir.path(), "in.txt", "Nobody\nA grey cat\nHer brother\n"),
        dir.path().join("out"),
    );
    let fixed = dir.path().join("fixed");
    batch(&input, &out, &[]).run().succeeds();
    batch(&input, &fixed, &["--fixed-batch"])
        .env("RAYON_NUM_THREADS", "1")
        .run()
        .succeeds();
    assert_eq!(records(&out), records(&fixed));
    batch(&input, &fixed, &[])
        .run()
        .fails(2, &["fixed_batch = true, and now fixed_batch is false"]);
}
