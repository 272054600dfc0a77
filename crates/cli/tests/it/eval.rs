//! `drdiff eval`: a model on text, and texts by what they are.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::fixture::{RunExt, drdiff, fixture};

fn eval(args: &[&str]) -> Command {
    let mut command = drdiff();
    command.arg("eval").arg("--model").arg(fixture().model()).args(args);
    command
}

fn write(dir: &Path, name: &str, lines: &[&str]) -> String {
    let path = dir.join(name);
    fs::write(&path, lines.join("\n")).unwrap();
    path.display().to_string()
}

fn json(command: &mut Command) -> Value {
    serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
}

#[test]
fn a_model_is_measured_on_text_by_block_size() {
    let dir = tempfile::tempdir().unwrap();
    let text = "The old king had three sons, and the youngest of them was called Simpleton. ".repeat(40);
    let text = write(dir.path(), "held-out.txt", &[&text]);
    let sizes = [
        "--text",
        &text,
        "--block-sizes",
        "1,4,16",
        "--window",
        "16",
        "--windows",
        "6",
        "--json",
        "-q",
    ];
    let found = json(&mut eval(&sizes));
    let bounds = found["bounds"].as_array().unwrap();
    assert_eq!(bounds.len(), 3);
    assert!(
        bounds
            .iter()
            .all(|bound| bound["bits_per_byte"].as_f64().unwrap() > 0.0)
    );
    assert_eq!(
        (found["windows"].as_u64(), found["window"].as_u64()),
        (Some(6), Some(16))
    );
    assert_eq!(found, json(&mut eval(&sizes)), "the masks are always the same");
    assert!(bounds.iter().all(|bound| bound["parts"].is_null()));
    let told = eval(&["--text", &text, "--block-sizes", "5", "--window", "16"])
        .output()
        .unwrap();
    assert_eq!(told.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&told.stderr).contains("give divisors of 16"));
}

#[test]
fn the_bound_of_parts_of_the_windows_stands_beside_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let text = "The old king had three sons, and the youngest of them was called Simpleton. ".repeat(40);
    let text = write(dir.path(), "held-out.txt", &[&text]);
    let run = |parts| {
        let shape = [
            "--text",
            &text,
            "--block-sizes",
            "1,4,16",
            "--window",
            "16",
            "--windows",
            "5",
        ];
        let mut command = eval(&shape);
        command.args(["-q", "--by-position", parts]);
        command
    };
    let found = json(run("4").arg("--json"));
    for bound in found["bounds"].as_array().unwrap() {
        let parts = bound["parts"].as_array().unwrap();
        let of = |part: &Value, what: &str| part[what].as_f64().unwrap();
        assert_eq!(
            parts.iter().map(|part| of(part, "from")).collect::<Vec<_>>(),
            [0.0, 4.0, 8.0, 12.0]
        );
        let mean = parts.iter().map(|part| of(part, "nats")).sum::<f64>() / 4.0;
        assert!((mean / of(bound, "nats") - 1.0).abs() < 1e-9, "{bound}");
    }
    let table = String::from_utf8(run("2").output().unwrap().stdout).unwrap();
    assert!(table.contains("whole     from 0     from 8\n"), "{table}");
    let told = run("3").output().unwrap();
    assert_eq!(told.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&told.stderr).contains("no 3 equal parts; use a divisor of 16"));
}

#[test]
fn a_model_is_measured_under_another_attention() {
    let dir = tempfile::tempdir().unwrap();
    let text = "The youngest son went into the wood, and there sat an old grey man. ".repeat(40);
    let text = write(dir.path(), "held-out.txt", &[&text]);
    let run = |sets: &[&str]| {
        let sizes = [
            "--text",
            &text,
            "--block-sizes",
            "16",
            "--window",
            "16",
            "--windows",
            "2",
            "-q",
        ];
        let mut command = eval(&sizes);
        for set in sets {
            command.args(["--set", set]);
        }
        command
    };
    let measured = |sets: &[&str]| json(run(sets).arg("--json"))["bounds"][0].clone();
    let (dense, tree) = (
        measured(&[]),
        measured(&["attention={plan: tree, tree: {branching: [4]}}"]),
    );
    assert!(tree["attention_flops"].as_u64() < dense["attention_flops"].as_u64());
    assert_ne!(tree["nats"], dense["nats"]);
    let one_node = measured(&["attention.plan=tree", "attention.tree.branching=[16]"]);
    let near = |a: &Value, b: &Value| (a.as_f64().unwrap() / b.as_f64().unwrap() - 1.0).abs() < 1e-5;
    assert!(near(&one_node["nats"], &dense["nats"]), "one node is all of the text");
    for (set, cause) in [
        ("layers=3", "another shape"),
        ("attention.layers=[9]", "layer 9"),
        ("attention.rest=length_adaptive", "no layer is left"),
        ("attention.plan=trees", "tree"),
        ("attention.tree.branching=[1]", "below 2"),
    ] {
        let told = run(&[set]).output().unwrap();
        let message = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(
            told.status.code() == Some(2) && message.contains(cause),
            "{set}: {message}"
        );
    }
}

#[test]
fn bad_lines_are_told_and_the_rest_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    let good = r#"{"text":"a b c d a b c d a b c d","stop_reason":"length"}"#;
    let texts = write(
        dir.path(),
        "texts.jsonl",
        &[good, "broken", r#"{"text":"One day a fox came by."}"#],
    );
    let told = eval(&[
        &texts,
        "--training-text",
        &write(dir.path(), "known.txt", &["One day a fox came by."]),
    ])
    .output()
    .unwrap();
    assert_eq!(told.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&told.stderr).contains("texts.jsonl, line 2: no JSON"));
    let table = String::from_utf8(told.stdout).unwrap();
    for wanted in [
        "2 texts",
        "entropy",
        "repeated 4-grams",
        "in training text",
        "malformed lines   1",
        "length 100 %",
    ] {
        assert!(table.contains(wanted), "{wanted} is not in\n{table}");
    }
    assert!(!table.contains("perplexity"), "there is no judge");
}

#[test]
fn what_cannot_be_measured_is_refused_in_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let texts = write(dir.path(), "texts.jsonl", &[r#"{"text":"a b c"}"#]);
    let empty = write(dir.path(), "empty.jsonl", &["{}"]);
    let no_judge = write(dir.path(), "judge.gguf", &["GGUF"]);
    let cases: [(&[&str], &str); 5] = [
        (&[], "required"),
        (&["missing.jsonl"], "cannot read missing.jsonl"),
        (&[&empty], "holds no text"),
        (&[&texts, "--judge", &no_judge], "cannot be a judge"),
        (&[&texts, "--human", &texts, "--features", "nowhere"], "nowhere"),
    ];
    for (args, wanted) in cases {
        let told = eval(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&told.stderr);
        assert_eq!(told.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(wanted), "{args:?}: {stderr}");
    }
}

#[test]
fn a_model_of_this_program_judges_texts() {
    let dir = tempfile::tempdir().unwrap();
    let line =
        |prompt: &str| serde_json::json!({ "prompt": prompt, "text": "The old king had three sons." }).to_string();
    let judge = fixture().model().display().to_string();
    let perplexity = |prompt: &str| {
        let set = write(dir.path(), "texts.jsonl", &[&line(prompt)]);
        let found = json(&mut eval(&[&set, "--judge", &judge, "--json", "-q"]));
        found["texts"][0]["perplexity"]["value"].as_f64().unwrap()
    };
    let plain = perplexity("");
    assert!(plain > 1.0 && plain.is_finite(), "{plain}");
    assert_eq!(plain, perplexity(""), "nothing is drawn");
    assert_ne!(
        plain,
        perplexity("Once upon a time "),
        "a text is read behind its prompt"
    );
}

#[test]
fn the_gain_of_context_stands_beside_perplexity() {
    let dir = tempfile::tempdir().unwrap();
    let text = |who: &str| {
        let text = format!("{who} went home. ").repeat(20);
        serde_json::json!({ "prompt": who, "text": text }).to_string()
    };
    let lines = ["The king", "A fox", "His wife"].map(text);
    let set = write(
        dir.path(),
        "texts.jsonl",
        &[&lines[0], &lines[1], &lines[2], r#"{"text":"No."}"#],
    );
    let judge = fixture().model().display().to_string();
    let run = || eval(&[&set, "--judge", &judge, "-q"]);
    let gain = json(run().arg("--json"))["texts"][0]["context_gain"].clone();
    assert!(gain["nats"].is_f64() && gain["error"].is_f64(), "{gain}");
    assert_eq!(gain["texts"], 3, "one is too short: {gain}");
    let table = run().run().succeeds();
    let line = table.lines().find(|line| line.contains("context gain")).unwrap();
    assert!(line.contains("copied (of 3 texts)"), "{line}");
}

#[test]
fn texts_whose_prompts_are_not_known_are_told_and_not_ranked_beside_others() {
    let dir = tempfile::tempdir().unwrap();
    let text = "The old king had three sons.";
    let known = serde_json::json!({ "prompt": "Once", "text": text }).to_string();
    let theirs = |beside: Value| {
        let body = serde_json::json!({ "choices": [{ "text": text }], "diffusion": beside });
        serde_json::json!({ "custom_id": "a", "response": { "body": body } }).to_string()
    };
    let sets = [
        write(dir.path(), "ours.jsonl", &[&known]),
        write(
            dir.path(),
            "theirs.jsonl",
            &[&theirs(serde_json::json!({ "prompt": "Once" }))],
        ),
        write(dir.path(), "old.jsonl", &[&theirs(Value::Null)]),
    ];
    let judge = fixture().model().display().to_string();
    let mut command = eval(&[&sets[0], &sets[1], &sets[2], "--judge", &judge, "--json", "-q"]);
    let ran = command.run();
    let texts = ran.json()["texts"].clone();
    let value = |row: usize| texts[row]["perplexity"]["value"].clone();
    assert_eq!(value(0), value(1), "the same text after the same prompt");
    assert_ne!(value(0), value(2));
    let ranks: Vec<Option<u64>> = (0..3).map(|row| texts[row]["rank"].as_u64()).collect();
    assert_eq!(ranks, [Some(1), Some(1), None], "equal texts share their place");
    let told = ran.stderr();
    assert!(told.contains("old.jsonl: the prompts of 1 of 1 text"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn short_texts_are_measured_as_far_as_they_go() {
    let dir = tempfile::tempdir().unwrap();
    let lines = [
        r#"{"text":"x","prompt":""}"#,
        r#"{"text":"","prompt":""}"#,
        r#"{"text":"The old king had three sons, and one of them was clever.","prompt":""}"#,
    ];
    let (mixed, one) = (
        write(dir.path(), "mixed.jsonl", &lines),
        write(dir.path(), "one.jsonl", &lines[..1]),
    );
    let judge = fixture().model().display().to_string();
    let known = write(dir.path(), "known.txt", &["The old king had three sons."]);
    let table = eval(&[
        &mixed,
        &one,
        "--judge",
        &judge,
        "--by-quarter",
        "--training-text",
        &known,
        "-q",
    ])
    .run()
    .succeeds();
    for wanted in [
        "1 empty text",
        "texts long enough 2 1 1 1 for",
        "(of 2 1 1 1 texts)",
        "1.000 - - -",
    ] {
        assert!(table.contains(wanted), "{wanted:?} is not in\n{table}");
    }
    assert!(!table.contains("NaN") && !table.contains("-0.0"), "{table}");
}

#[test]
fn block_sizes_and_windows_that_nobody_typed_fit_model_and_text() {
    let dir = tempfile::tempdir().unwrap();
    let long = "The old king had three sons, and the youngest of them was called Simpleton. ".repeat(40);
    let (long, short) = (
        write(dir.path(), "long.txt", &[&long]),
        write(dir.path(), "short.txt", &["A short text."]),
    );
    let ran = eval(&["--text", &long]).run();
    ran.succeeds();
    let told = ran.stderr();
    assert!(
        told.contains("blocks of 1024 do not fit windows of 64 tokens"),
        "{told}"
    );
    let found = json(&mut eval(&["--text", &short, "--json", "-q"]));
    assert!(found["window"].as_u64().unwrap() < 64, "{found}");
    eval(&["--text", &long, "--block-sizes", "1024", "-q"])
        .run()
        .fails(2, &["divisors of 64"]);
    eval(&["--text", &short, "--window", "64", "--block-sizes", "1", "-q"])
        .run()
        .fails(2, &["fewer than one window of 64"]);
    let single = eval(&["--text", &long, "--windows", "1", "--block-sizes", "64", "-q"])
        .run()
        .succeeds();
    assert!(
        single.contains("A single block has no error") && !single.contains("NaN"),
        "{single}"
    );
}

/// With a real judge, if the variable names one: human-like text reads better than the same words in another order.
#[test]
fn a_real_judge_prefers_text_to_shuffled_words() {
    let Ok(judge) = std::env::var("DRDIFF_JUDGE") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let text = "Once upon a time there was a little girl who lived in a small house at the edge of the forest.";
    let mut words: Vec<&str> = text.split(' ').collect();
    words.reverse();
    let sets = [("text", text.to_owned()), ("shuffled", words.join(" "))].map(|(name, text)| {
        let line = serde_json::json!({ "text": text }).to_string();
        write(dir.path(), &format!("{name}.jsonl"), &[&line])
    });
    let found = json(&mut eval(&[&sets[0], &sets[1], "--judge", &judge, "--json", "-q"]));
    let perplexity = |row: usize| found["texts"][row]["perplexity"]["value"].as_f64().unwrap();
    assert!(perplexity(1) > 5.0 * perplexity(0));
    assert_eq!(
        (found["texts"][0]["rank"].as_u64(), found["texts"][1]["rank"].as_u64()),
        (Some(1), Some(2))
    );
    eval(&[&sets[0], "--judge", &judge, "-q"]).run().succeeds();
}

#[test]
fn a_model_is_asked_for_what_was_said() {
    let asked = [
        "--recall",
        "30,40",
        "--recall-depths",
        "2",
        "--recall-samples",
        "1",
        "-q",
    ];
    let found = json(eval(&asked).arg("--json"));
    let rows = found["recall"].as_array().unwrap();
    let of = |name: &str| -> Vec<Value> { rows.iter().map(|row| row[name].clone()).collect() };
    assert_eq!(of("length"), [30, 30, 40, 40]);
    assert_eq!(of("depth"), [0.0, 1.0, 0.0, 1.0]);
    assert!(
        of("retrieved").iter().all(Value::is_null),
        "the model does not retrieve"
    );
    let table = eval(&asked).run().succeeds();
    assert_eq!(table.lines().count(), 7, "{table}");
    eval(&["--recall", "10", "-q"]).run().fails(2, &["length"]);
}

#[test]
fn the_recall_checkpoint_answers_beyond_its_windows_to_both_sides() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/drdiff-recall");
    let asked = [
        "eval",
        "--model",
        model,
        "--recall",
        "8k",
        "--recall-whole",
        "--recall-depths",
        "3",
    ];
    let mut command = drdiff();
    command.args(asked).args(["--recall-samples", "2", "-q", "--json"]);
    let found = json(&mut command);
    let rows = found["recall"].as_array().unwrap();
    assert_eq!(rows.len(), 6);
    assert!(rows.iter().all(|row| row["right"] == row["samples"]), "{rows:?}");
}
