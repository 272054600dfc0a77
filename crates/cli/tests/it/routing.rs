//! Models with routed experts: budgets, accounts and pictures on the command line.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::fixture::{RunExt, drdiff, fixture, generate};

/// `drdiff generate` with the routed model.
fn routed(args: &[&str]) -> Command {
    let mut command = drdiff();
    command.args([
        "generate",
        "Nobody",
        "--tokens",
        "24",
        "--block-size",
        "8",
        "--steps",
        "4",
        "--no-stop",
    ]);
    command.arg("--model").arg(fixture().routed()).args(args);
    command
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sum(numbers: &Value) -> u64 {
    numbers.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum()
}

#[test]
fn a_smaller_budget_costs_less_and_the_record_says_how_much() {
    let write = |compute: &str| routed(&["--json", "--compute", compute]).run().json();
    let (full, half) = (write("1"), write("0.5"));
    assert_eq!(half["settings"]["compute"], 0.5);
    assert_eq!(full["settings"].get("compute"), None, "all is what every model does");
    let flops = |record: &Value| record["flops"].as_u64().unwrap();
    assert!(flops(&half) < flops(&full));
    let taken = |record: &Value| sum(&record["routed"]["taken"]);
    assert!(taken(&half) > 0 && taken(&half) < taken(&full));
    assert_eq!(full["routed"]["feed_forward"].as_array().unwrap().len(), 1, "one layer");
    assert_eq!(
        routed(&["--json", "--set", "compute=0.5"]).run().json()["ids"],
        half["ids"]
    );
    assert_eq!(write("auto")["settings"]["compute"], "auto");

    let least = routed(&["--compute", "0.1"]).run();
    assert!(
        least.stderr().contains("trained with budgets from 0.25 up"),
        "{}",
        least.stderr()
    );
    routed(&["--compute", "2"]).run().fails(2, &["`compute` is 2"]);
    generate(&["Nobody", "--compute", "0.5"])
        .run()
        .fails(2, &["no routed experts"]);
    generate(&["Nobody", "--explain", "x.svg"])
        .run()
        .fails(2, &["--explain", "this model has none"]);
}

#[test]
fn a_trace_and_a_picture_show_where_experts_ran() {
    let dir = tempfile::tempdir().unwrap();
    let (trace, picture) = (dir.path().join("trace.jsonl"), dir.path().join("where.svg"));
    let ran = routed(&["--compute", "auto", "--json", "--trace"])
        .arg(&trace)
        .arg("--explain")
        .arg(&picture)
        .run();
    let record = ran.json();
    let passes = &lines(&trace)[1..];
    assert_eq!(passes.len(), 12);
    let of = |pass: &Value, key: &str| pass["compute"][key].as_u64().unwrap();
    assert!(passes.iter().all(|pass| of(pass, "open") + of(pass, "settled") == 8));
    let total: u64 = passes.iter().map(|pass| sum(&pass["compute"]["taken"])).sum();
    assert_eq!(total, sum(&record["routed"]["taken"]));
    assert_eq!(
        passes.iter().map(|pass| of(pass, "flops")).sum::<u64>(),
        record["flops"].as_u64().unwrap()
    );
    assert_eq!(passes[0]["compute"]["share"], 1.0, "a block begins with all");

    let svg = fs::read_to_string(&picture).unwrap();
    assert_eq!(svg.matches("<rect class=\"c\"").count(), 12 * 8);
    let map = ran.stderr();
    assert!(map.contains("mean of 3 blocks") && map.contains("step   4 |"), "{map}");
}

#[test]
fn a_batch_and_a_sweep_choose_budgets() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("in.jsonl"), dir.path().join("out"));
    let request = |id: &str, more: Value| {
        let mut request = json!({ "id": id, "prompt": "Nobody" });
        request
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        request.to_string() + "\n"
    };
    fs::write(
        &input,
        request("a", json!({})) + &request("b", json!({ "compute": 0.25 })),
    )
    .unwrap();
    let mut batch = drdiff();
    batch
        .arg("batch")
        .arg(&input)
        .arg("-o")
        .arg(&out)
        .arg("--model")
        .arg(fixture().routed());
    batch
        .args(["--tokens", "8", "--steps", "2", "--no-stop"])
        .run()
        .succeeds();
    let records = crate::batch::records(&out);
    assert_eq!(
        (&records["a"]["compute"], &records["b"]["compute"]),
        (&json!(1.0), &json!(0.25))
    );
    assert!(records["b"]["flops"].as_u64() < records["a"]["flops"].as_u64());

    let (report, file) = (dir.path().join("report"), dir.path().join("mine.yaml"));
    let settings = "prompts: [Nobody]\nsettings: {tokens: 16, block_size: 8, sampler: {steps: 2}}\n";
    fs::write(&file, format!("{settings}grid: {{compute: [0.25, 1, auto]}}\n")).unwrap();
    let mut sweep = drdiff();
    sweep.arg("sweep").arg(&file).arg("-o").arg(&report).arg("--set");
    sweep.arg(format!("grid.model=[{:?}]", fixture().routed().display().to_string()));
    sweep.run().succeeds();
    let csv = fs::read_to_string(report.join("results.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 3, "{csv}");
    let header: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    let column = header.iter().position(|name| *name == "compute").unwrap();
    let budgets: Vec<&str> = csv
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(column).unwrap())
        .collect();
    assert_eq!(budgets, ["0.25", "1", "auto"]);
}

#[test]
fn a_run_tells_how_rows_spread() {
    let dir = tempfile::tempdir().unwrap();
    let mut train = drdiff();
    train
        .args(["train", "--config"])
        .arg(fixture().config())
        .arg("--data")
        .arg(fixture().corpus());
    train.arg("-o").arg(dir.path().join("run")).args(["--set", "steps=2"]);
    for set in [
        "kind=token_choice",
        "experts=4",
        "expert_hidden=16",
        "budget={min: 0.5, max: 1}",
        "first_layer=0",
    ] {
        train.arg("--set").arg(format!("model.routing.{set}"));
    }
    let ran = train.run();
    ran.succeeds();
    assert!(
        ran.stderr().contains("experts' load ") && ran.stderr().contains("router entropy"),
        "{}",
        ran.stderr()
    );
    let log = lines(&dir.path().join("run/train.jsonl"));
    assert_eq!(log[0]["routing"][0]["load"].as_array().unwrap().len(), 4);
    // What was trained is exported and writes with its budget.
    let small = dir.path().join("small.gguf");
    let exported = drdiff()
        .arg("export")
        .arg(dir.path().join("run"))
        .arg("-o")
        .arg(&small)
        .run();
    exported.succeeds();
}

#[test]
fn the_bound_is_measured_at_a_budget() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("held-out.txt");
    fs::write(
        &text,
        "The old king had three sons, and the youngest of them painted apples. ".repeat(20),
    )
    .unwrap();
    let eval = |model: &Path, more: &[&str]| {
        let mut command = drdiff();
        command.arg("eval").arg("--model").arg(model).arg("--text").arg(&text);
        command.args([
            "--block-sizes",
            "16",
            "--window",
            "16",
            "--windows",
            "4",
            "--json",
            "-q",
        ]);
        command.args(more).run()
    };
    let nats = |more: &[&str]| {
        eval(&fixture().routed(), more).json()["bounds"][0]["nats"]
            .as_f64()
            .unwrap()
    };
    assert_eq!(nats(&["--compute", "1"]), nats(&[]));
    assert_ne!(nats(&["--compute", "0.25"]), nats(&[]));
    eval(&fixture().model(), &["--compute", "0.25"]).fails(2, &["no routed experts"]);

    let found = eval(&fixture().routed(), &["--difficulty"]).json()["difficulty"][0].clone();
    for of in ["rare", "common", "first", "last"] {
        assert!(found[of]["rows"].as_u64() > Some(0), "{found}");
        assert!((0.0..=4.0).contains(&found[of]["experts"].as_f64().unwrap()), "{found}");
    }
    eval(&fixture().model(), &["--difficulty"]).fails(2, &["no routed experts"]);
}
