//! `drdiff generate` with a model.

use std::io::Read;
use std::process::Stdio;

use serde_json::Value;

use crate::fixture::{RunExt, generate};

#[test]
fn equal_seeds_give_equal_texts() {
    let write = |seed: &str| {
        generate(&["The old king", "--tokens", "40", "--seed", seed])
            .run()
            .succeeds()
    };
    let text = write("7");
    assert!(text.starts_with("The old king"), "the prompt comes first: {text}");
    assert!(text.ends_with('\n') && text.len() > 30);
    assert_eq!(text, write("7"));
    assert_ne!(text, write("8"));
}

#[test]
fn the_prompt_can_be_left_out() {
    let args = ["The old king", "--tokens", "24", "--seed", "7"];
    let all = generate(&args).run().succeeds();
    let new = generate(&args).arg("--no-echo").run().succeeds();
    assert_eq!(all, format!("The old king{new}"));
}

#[test]
fn prompts_come_from_arguments_files_and_stdin() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("prompt.txt");
    std::fs::write(&file, "A grey cat\n").unwrap();
    let args = ["--tokens", "16"];
    let expected = generate(&args).arg("A grey cat").run().succeeds();
    assert_eq!(generate(&args).arg("-f").arg(&file).run().succeeds(), expected);
    assert_eq!(generate(&args).run_with(b"A grey cat\n").succeeds(), expected);
    assert_eq!(
        generate(&args).args(["-f", "-"]).run_with(b"A grey cat").succeeds(),
        expected
    );
    let free = generate(&args).arg("").run();
    assert!(!free.succeeds().is_empty());
}

#[test]
fn the_attention_plan_can_be_chosen() {
    let args = [
        "Nobody",
        "--tokens",
        "1200",
        "--block-size",
        "64",
        "--steps",
        "1",
        "--no-stop",
        "--json",
    ];
    let write = |more: &[&str]| generate(&[&args[..], more].concat()).run().json();
    let sparse = write(&["--attention", "length_adaptive"]);
    assert_eq!(sparse["ids"].as_array().unwrap().len(), 1200);
    assert_eq!(sparse["settings"]["attention"], "length_adaptive");
    assert_eq!(write(&["--set", "attention=length_adaptive"])["ids"], sparse["ids"]);
    let tree = write(&["--attention", "tree"]);
    assert_eq!(tree["ids"].as_array().unwrap().len(), 1200);
    assert_ne!(tree["ids"], sparse["ids"]);
    assert_eq!(write(&["--attention", "tree"])["ids"], tree["ids"], "the same seed");
    assert_eq!(write(&[])["settings"]["attention"], Value::Null);
    assert_eq!(generate(&args).args(["--attention", "sparse"]).run().code(), 2);
}

#[test]
fn json_tells_what_was_done_and_what_it_cost() {
    let args = [
        "Nobody",
        "--tokens",
        "20",
        "--block-size",
        "8",
        "--steps",
        "4",
        "--seed",
        "5",
        "--no-stop",
        "--json",
    ];
    let json = generate(&args).run().json();
    assert_eq!(json["ids"].as_array().unwrap().len(), 20);
    assert_eq!(json["tokens_committed"], 20);
    // Blocks of 8, 8 and 4 positions in 4 steps each.
    assert_eq!(json["nfe"], 12);
    assert_eq!(json["canvas_tokens"], 4 * 20);
    assert!(json["flops"].as_u64() > Some(0));
    assert_eq!(json["scoring_flops"], 0, "this model does not retrieve");
    assert_eq!(json["stop_reason"], "length");
    for (key, value) in [("process", "absorbing"), ("prompt", "Nobody"), ("device", "cpu")] {
        assert_eq!(json[key], value);
    }
    for (key, value) in [("steps", 4), ("block_size", 8), ("seed", 5)] {
        assert_eq!(json[key], value);
    }
    assert_eq!(json["model_hash"].as_str().unwrap().len(), 64);
    #[cfg(target_os = "linux")]
    assert!(json["peak_bytes"].as_u64() > Some(1 << 20), "{}", json["peak_bytes"]);
    assert!(json["wall_seconds"].as_f64().unwrap() >= json["load_seconds"].as_f64().unwrap());
    for key in ["text", "solver", "model", "version", "commit"] {
        assert!(json[key].is_string(), "{key}");
    }
}

#[test]
fn what_nobody_chose_follows_the_steps() {
    let settings = |more: &[&str]| {
        let args = [&["x", "--tokens", "8", "--json"], more].concat();
        generate(&args).run().json()["settings"]["sampler"].clone()
    };
    let alone = settings(&["--block-size", "4"]);
    assert_eq!(
        (&alone["steps"], &alone["commit"]["type"]),
        (&4.into(), &"left_to_right".into())
    );
    let shared = settings(&["--block-size", "4", "--steps", "2"]);
    for key in ["sampling", "frequency"] {
        assert_ne!(alone[key], shared[key]);
    }
    let soft = settings(&["--block-size", "4", "--process", "hybrid"]);
    assert_eq!(soft["commit"]["type"], "spread");
    assert_ne!(soft["score_temperature"], shared["score_temperature"]);
    let chosen = settings(&[
        "--block-size",
        "4",
        "--steps",
        "2",
        "--commit",
        "margin",
        "--temperature",
        "0.6",
    ]);
    assert_eq!(chosen["commit"]["type"], "margin");
    assert_eq!(chosen["sampling"]["temperature"], 0.6);
    assert_eq!(chosen["frequency"], shared["frequency"]);
    let set = settings(&[
        "--block-size",
        "4",
        "--steps",
        "2",
        "--set",
        "sampler.commit.type=random",
    ]);
    assert_eq!(set["commit"]["type"], "random");
    assert_eq!(set["sampling"], shared["sampling"]);
}

#[test]
fn every_process_and_solver_writes() {
    let base = ["Her brother", "--tokens", "16", "--steps", "5", "--no-stop", "--json"];
    let absorbing = [
        "random",
        "confidence",
        "margin",
        "entropy",
        "left-to-right",
        "entropy-bound",
        "entropy-bound:0.2",
        "threshold:0.8",
    ];
    let runs = absorbing
        .iter()
        .map(|commit| ["--process", "absorbing", "--commit", *commit]);
    let solvers = drdiff_solver::SolverConfig::ALL
        .iter()
        .map(|solver| solver.name())
        .chain(["dpm++", "sde"]);
    let soft = solvers
        .flat_map(|solver| ["gaussian", "soft-absorbing", "hybrid"].map(|p| ["--process", p, "--solver", solver]));
    for args in runs.chain(soft) {
        let json = generate(&base).args(args).run().json();
        assert_eq!(json["tokens_committed"], 16, "{args:?}");
        assert_eq!(json["process"], args[1]);
    }
}

#[test]
fn an_order_chooses_the_solver() {
    let args = ["x", "--tokens", "4", "--process", "gaussian", "--order", "3", "--json"];
    assert_eq!(generate(&args).run().json()["solver"], "dpmpp-3m");
}

#[test]
fn text_of_special_tokens_is_plain_text() {
    let text = generate(&["a <|end|> b", "--tokens", "8"]).run().succeeds();
    assert!(text.starts_with("a <|end|> b"), "{text}");
}

#[test]
fn a_trace_has_a_line_for_each_pass() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trace.jsonl");
    let args = [
        "The miller",
        "--tokens",
        "16",
        "--block-size",
        "16",
        "--steps",
        "6",
        "--no-stop",
        "--quiet",
    ];
    generate(&args).arg("--trace").arg(&path).run().succeeds();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1 + 6);
    assert_eq!(lines[0]["record"], "run");
    assert_eq!(lines[0]["run"]["steps"], 6);
    let committed: usize = lines[1..]
        .iter()
        .map(|line| line["committed"].as_array().unwrap().len())
        .sum();
    assert_eq!(committed, 16);
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        1,
        "nothing else is left behind"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = generate(&["The old king", "--tokens", "400", "--no-stop"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 4];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    // The pipe is closed now.
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn flags_without_effect_are_noted() {
    let ran = generate(&["x", "--tokens", "4", "--solver", "ddim"]).run();
    ran.succeeds();
    assert!(
        ran.stderr().contains("note") && ran.stderr().contains("--process"),
        "{}",
        ran.stderr()
    );
    let quiet = generate(&["x", "--tokens", "4", "--solver", "ddim", "--quiet"]).run();
    assert_eq!(quiet.stderr(), "");
}
