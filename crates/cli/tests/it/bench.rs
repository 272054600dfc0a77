//! `drdiff bench` on tiny shapes: what a row says, and what is refused. Nobody asks how long anything took.

use serde_json::Value;

use crate::fixture::{Ran, RunExt, drdiff, fixture};

/// `drdiff bench` with the shortest measurement there is.
fn bench(what: &str, args: &[&str]) -> Ran {
    drdiff()
        .args(["bench", what, "--runs", "1", "--warm-up", "0"])
        .args(args)
        .run()
}

fn rows(ran: &Ran) -> Vec<Value> {
    let text = ran.succeeds();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What every row of every benchmark has.
fn check(row: &Value) {
    for key in ["bench", "what", "variant", "device", "dtype", "commit"] {
        assert!(row[key].is_string(), "{key} in {row}");
    }
    assert!(row["ms"].as_f64().unwrap() > 0.0, "{row}");
    assert!(row["shape"].is_object(), "{row}");
    for key in [
        "peer",
        "tokens_per_s",
        "flops_per_s",
        "bytes_per_s",
        "density",
        "threads",
    ] {
        assert!(row.get(key).is_some(), "{key} is missing in {row}");
    }
    #[cfg(target_os = "linux")]
    assert!(row["peak_bytes"].as_u64().unwrap() > 1 << 20, "{row}");
}

#[test]
fn attention_has_a_row_for_each_pass_and_one_of_a_peer() {
    let args = ["--lengths", "100", "--batch", "2", "--heads", "2", "--head-dim", "8"];
    let rows = rows(&bench(
        "attention",
        &[&args[..], &["--json", "--plan", "dense,band"]].concat(),
    ));
    let key = |row: &Value| (row["what"].clone(), row["variant"].clone(), row["peer"].clone());
    let expected = [
        ("forward", "dense", Value::Null),
        ("backward", "dense", Value::Null),
        ("forward", "band", Value::Null),
        ("backward", "band", Value::Null),
        ("forward", "dense", "candle-naive".into()),
    ];
    assert_eq!(
        rows.iter().map(key).collect::<Vec<_>>(),
        expected.map(|(what, variant, peer)| (what.into(), variant.into(), peer))
    );
    rows.iter().for_each(check);
    assert_eq!(rows[0]["density"], 1.0);
    assert_eq!(rows[0]["shape"]["n"], 100);
    // 4 x pairs x heads x width x batch operations, and two and a half times as many on the way back.
    let counted = |row: &Value| row["flops_per_s"].as_f64().unwrap() * row["ms"].as_f64().unwrap() / 1e3;
    assert!((counted(&rows[0]) / f64::from(4 * 100 * 100 * 2 * 8 * 2) - 1.0).abs() < 1e-9);
    assert!((counted(&rows[1]) / counted(&rows[0]) - 2.5).abs() < 1e-9);
}

#[test]
fn every_plan_can_be_measured() {
    for (plan, length) in [
        ("block-causal", "130"),
        ("noisy-clean", "130"),
        ("ring", "130"),
        ("length_adaptive", "130"),
        ("retrieval", "448"),
    ] {
        let args = ["--lengths", length, "--batch", "1", "--heads", "1", "--head-dim", "4"];
        let ran = bench(
            "attention",
            &[&args[..], &["--json", "--forward-only", "--plan", plan]].concat(),
        );
        let rows = rows(&ran);
        // What retrieval takes to choose is a row of its own, beside the whole.
        let what: Vec<_> = rows.iter().map(|row| row["what"].clone()).collect();
        assert_eq!(
            what,
            if plan == "retrieval" {
                &["forward", "scoring"][..]
            } else {
                &["forward"]
            }
        );
        assert!(rows.iter().all(|row| row["variant"] == plan));
        rows.iter().for_each(check);
    }
}

#[test]
fn a_range_of_lengths_doubles_and_long_dense_plans_are_left_out() {
    let args = [
        "--json",
        "--forward-only",
        "--heads",
        "1",
        "--head-dim",
        "4",
        "--batch",
        "1",
    ];
    let lengths = ["--lengths", "512..2k", "--plan", "length_adaptive"];
    let rows_of = |more: &[&str]| rows(&bench("attention", &[&args[..], more].concat()));
    let n: Vec<_> = rows_of(&lengths).iter().map(|row| row["shape"]["n"].clone()).collect();
    assert_eq!(n, [512, 1024, 2048]);
    let ran = bench("attention", &[&args[..], &["--lengths", "512,1M"]].concat());
    assert!(
        ran.stderr().contains("1048576 positions is left out"),
        "{}",
        ran.stderr()
    );
    assert!(ran.stderr().contains("--longest-dense 1048576"), "{}", ran.stderr());
    assert!(rows(&ran).iter().all(|row| row["shape"]["n"] == 512));
    // Where a longest is given, it decides whatever the operations, and for dense plans alone.
    let given = [
        "--lengths",
        "512,1k,2k",
        "--plan",
        "dense,band",
        "--longest-dense",
        "1k",
    ];
    let rows = rows_of(&given);
    let measured = |plan: &str| -> Vec<_> {
        let ours = |row: &&Value| row["variant"] == plan && row["peer"].is_null();
        rows.iter().filter(ours).map(|row| row["shape"]["n"].clone()).collect()
    };
    assert_eq!(measured("dense"), [512, 1024]);
    assert_eq!(measured("band"), [512, 1024, 2048]);
}

#[test]
fn trees_are_timed_forward_and_backward() {
    let tree = "--json --lengths 512 --batch 1 --heads 1 --head-dim 4 --plan tree --branching 128,2 --near 1";
    let rows = rows(&bench("attention", &tree.split(' ').collect::<Vec<_>>()));
    let passes: Vec<_> = rows.iter().map(|row| row["what"].clone()).collect();
    assert_eq!(passes, ["forward", "backward"]);
    // Two families of two nodes of 128 positions, which read each other; above, three pairs of siblings and means.
    let pairs = 4 * 128 * 256 + 3 * 2 * 2;
    assert_eq!(rows[0]["density"].as_f64().unwrap(), f64::from(pairs) / 512.0 / 512.0);
    bench("attention", &["--plan", "tree", "--branching", "1"]).fails(2, &["`branching` below 2"]);
}

#[test]
fn trees_in_blocks_are_timed_forward_and_both_ways() {
    let tree =
        "--json --lengths 512 --batch 1 --heads 1 --head-dim 4 --plan tree-blocks --block-size 64 --branching 64,2";
    let rows = rows(&bench("attention", &tree.split(' ').collect::<Vec<_>>()));
    let passes: Vec<_> = rows.iter().map(|row| row["what"].clone()).collect();
    assert_eq!(passes, ["forward", "both"]);
    // In each half four blocks that read themselves and the one before; the third reads a node, the fourth one of two.
    let pairs = 2 * (7 * 64 * 64 + 2 * 64);
    assert_eq!(rows[0]["density"].as_f64().unwrap(), f64::from(pairs) / 512.0 / 512.0);
    let within = ["--plan", "tree-blocks", "--branching", "16"];
    bench("attention", &within).fails(2, &["multiple of 64"]);
}

#[test]
fn a_table_has_a_head_and_a_line_for_each_row() {
    let args = [
        "--lengths",
        "64",
        "--batch",
        "1",
        "--heads",
        "1",
        "--head-dim",
        "4",
        "--plan",
        "ring",
    ];
    let table = bench("attention", &args).succeeds();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(
        lines[0].starts_with("what") && lines[2].starts_with("backward"),
        "{table}"
    );
}

#[test]
fn threads_are_those_that_were_asked_for() {
    let args = [
        "--lengths",
        "64",
        "--batch",
        "1",
        "--heads",
        "1",
        "--json",
        "--forward-only",
        "--plan",
        "ring",
    ];
    let ran = bench("attention", &[&args[..], &["--threads", "1"]].concat());
    assert_eq!(rows(&ran)[0]["threads"], 1);
    // A child's exit code and sentence come through.
    bench("attention", &["--threads", "1", "--device", "cuda:99"]).fails(2, &["use the CPU"]);
}

#[test]
fn training_steps_are_timed_in_both_layouts() {
    let args = [
        "--layers",
        "1",
        "--width",
        "32",
        "--heads",
        "2",
        "--hidden",
        "48",
        "--vocab",
        "300",
        "--context",
        "24",
        "--batch",
        "2,3",
        "--block-size",
        "8",
        "--layout",
        "plain,noisy-clean",
        "--json",
    ];
    let rows = rows(&bench("train", &args));
    assert_eq!(rows.len(), 4);
    rows.iter().for_each(check);
    let rate = |row: &Value| row["tokens_per_s"].as_f64().unwrap() * row["ms"].as_f64().unwrap() / 1e3;
    for (row, (layout, tokens)) in rows
        .iter()
        .zip([("plain", 48.0), ("plain", 72.0), ("noisy-clean", 48.0)])
    {
        assert_eq!(row["variant"], layout);
        assert!((rate(row) - tokens).abs() < 1e-6, "text tokens count once: {row}");
    }
}

#[test]
fn writing_is_timed_with_the_loading_apart() {
    let model = fixture().model();
    let args = [
        "--json",
        "--tokens",
        "12",
        "--settings",
        "1x1,4x2",
        "--prompt",
        "The",
        "--model",
    ];
    let rows = rows(&bench("generate", &[&args[..], &[model.to_str().unwrap()]].concat()));
    let what: Vec<_> = rows.iter().map(|row| row["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["load", "text", "text"]);
    rows.iter().for_each(check);
    assert_eq!(rows[1]["shape"]["tokens"], 12);
    assert_eq!(rows[1]["shape"]["nfe"], 12);
    assert_eq!(rows[2]["shape"]["nfe"], 6);
    let rate = rows[2]["tokens_per_s"].as_f64().unwrap() * rows[2]["ms"].as_f64().unwrap() / 1e3;
    assert!((rate - 12.0).abs() < 1e-9);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let refused = |args: &[&str], word: &str| {
        let ran = drdiff().arg("bench").args(args).run();
        assert_eq!(ran.code(), 2, "{args:?}");
        assert!(ran.stderr().contains(word), "{}", ran.stderr());
        assert_eq!(ran.stdout(), "");
    };
    refused(&["attention", "--lengths", "16q"], "16k or 1M");
    refused(&["attention", "--lengths", "2k..1k"], "shortest");
    refused(&["attention", "--batch", "some"], "auto");
    refused(&["attention", "--longest-dense", "far"], "16k or 1M");
    refused(&["train", "--attention", "sparse"], "length_adaptive");
    let odd = [
        "train",
        "--attention",
        "length_adaptive",
        "--layout",
        "noisy-clean",
        "--context",
        "1100",
    ];
    refused(&odd, "multiple of 64");
    refused(&["attention", "--plan", "rings"], "ring");
    refused(&["attention", "--runs", "0"], "--runs");
    refused(&["attention", "--threads", "0"], "--threads");
    refused(&["attention", "--heads", "0"], "--heads");
    refused(&["attention", "--plan", "noisy-clean", "--lengths", "101"], "even");
    refused(
        &["attention", "--plan", "block-causal", "--lengths", "8"],
        "--block-size",
    );
    refused(&["attention", "--device", "cuda:99"], "use the CPU");
    refused(&["train", "--width", "30"], "multiple of 16");
    refused(&["train", "--layout", "noisy-clean", "--context", "8"], "--block-size");
    refused(&["generate", "--settings", "8"], "16x8");
    refused(&["generate", "--random-165m", "--tokens", "3"], "--tokens");
    refused(&["generate", "--model", "/no/such/model"], "there is no model");
}
