//! Signals: what is done is kept, and the exit code says that more can follow.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fixture::{RunExt, documents, drdiff, fixture, generate};

fn send(signal: &str, child: &Child) {
    let status = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// The longest time that a command may take from a signal to its end; the machine of a test may have other work.
const SOON: Duration = Duration::from_secs(4);

/// Starts a command that works for minutes, lets it work for a while, and asks it to end: it ends soon, with 75.
fn ends_soon(command: &mut Command, what: &str) -> String {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    assert!(child.try_wait().unwrap().is_none(), "{what} ended too early");
    send("-TERM", &child);
    let sent = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if sent.elapsed() > SOON {
            child.kill().unwrap();
            panic!("{what} is still at work {:?} after SIGTERM", sent.elapsed());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(75), "{what}: {told}");
    told
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Text of which no word comes twice, so that there is much to learn from.
fn many_words(path: &Path) {
    let mut state = 1_u64;
    let mut word = || -> String {
        let mut letter = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'a' + (state >> 33) as u8 % 26)
        };
        (0..40).map(|_| letter()).collect()
    };
    let text: Vec<String> = (0..100_000).map(|_| word()).collect();
    std::fs::write(path, text.join(" ")).unwrap();
}

#[test]
fn preparing_ends_while_tokens_are_learned_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let book = dir.path().join("book.txt");
    many_words(&book);
    let mut command = drdiff();
    command.args(["data", "prepare", "--vocab", "60000"]).arg(&book);
    ends_soon(command.arg("-o").arg(dir.path().join("shards")), "data prepare");
    assert_eq!(names(dir.path()), ["book.txt"]);
}

#[test]
fn commands_that_look_at_no_flag_end_as_well_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.jsonl");
    std::fs::write(&text, documents(0..3000)).unwrap();
    let out = || dir.path().join("out");
    let on_text = |command: &str, more: &[&str]| {
        let mut built = drdiff();
        built
            .arg(command)
            .arg("--text")
            .arg(&text)
            .arg("--model")
            .arg(fixture().model());
        built.arg("-o").arg(out()).args(more);
        built
    };
    let mut recall = drdiff();
    recall.args(["data", "recall", "--texts", "100000000", "-o"]).arg(out());
    ends_soon(&mut recall, "data recall");
    ends_soon(
        &mut on_text("eval", &["--windows", "1000000", "--block-sizes", "1,2,4,8,16"]),
        "eval",
    );
    let mut bench = drdiff();
    bench.args(["bench", "generate", "--runs", "1000000", "--threads", "2", "--model"]);
    ends_soon(bench.arg(fixture().model()), "bench generate");
    assert_eq!(names(dir.path()), ["text.jsonl"]);
}

#[test]
fn waiting_for_stdin_can_be_ended() {
    let dir = tempfile::tempdir().unwrap();
    ends_soon(generate(&[]).stdin(Stdio::piped()), "generate");
    let mut batch = drdiff();
    batch.args(["batch", "-", "--model"]).arg(fixture().model());
    batch.arg("-o").arg(dir.path().join("job")).stdin(Stdio::piped());
    ends_soon(&mut batch, "batch");
}

#[test]
fn a_measurement_that_is_interrupted_loses_no_step() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let text = dir.path().join("text.jsonl");
    std::fs::write(&text, documents(0..3000)).unwrap();
    let mut prepare = drdiff();
    prepare.args(["data", "prepare", "--valid-share", "0.9", "--tokenizer"]);
    prepare.arg(fixture().corpus().join("tokenizer.json")).arg(&text);
    prepare.arg("-o").arg(dir.path().join("shards")).run().succeeds();
    let train = |steps: &str, more: &[&str]| {
        let mut command = drdiff();
        command
            .args(["train", "--resume", "--set", steps, "--config"])
            .arg(fixture().config());
        command
            .args(more)
            .arg("--data")
            .arg(dir.path().join("shards"))
            .arg("-o")
            .arg(&out);
        command
    };
    let long = ["--set", "validation_windows=1000000", "--set", "validate_every=1"];
    let log = ends_soon(&mut train("steps=3", &long), "train");
    assert!(log.contains("step 1  saved"), "{log}");
    // All steps but the last measurement: it is made up for.
    let last = ["--set", "validation_windows=1000000"];
    let log = ends_soon(&mut train("steps=3", &last), "train");
    assert!(log.contains("step 3  saved"), "{log}");
    let ran = train("steps=3", &[]).run();
    ran.succeeds();
    assert!(ran.stderr().contains("step 3  held-out text"), "{}", ran.stderr());
    let ran = train("steps=3", &["--set", "batch=2"]).run();
    ran.succeeds();
    assert!(!ran.stderr().contains("held-out text"), "{}", ran.stderr());
}

#[test]
fn an_interrupted_text_is_kept() {
    let mut child = generate(&["The old king", "--tokens", "100000", "--no-stop", "--block-size", "4"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut begun = [0; 40];
    stdout.read_exact(&mut begun).unwrap();
    send("-INT", &child);
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(75));
    assert!(begun.starts_with(b"The old king"));
    assert_eq!(rest.last(), Some(&b'\n'), "the line is ended");
}

#[test]
fn an_interrupted_run_is_saved_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let train = |steps: &str| {
        let mut command = drdiff();
        command
            .args(["train", "--resume", "--set", steps, "--config"])
            .arg(fixture().config());
        command.arg("--data").arg(fixture().corpus()).arg("-o").arg(&out);
        command
    };
    let mut child = train("steps=100000").stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(log.next().unwrap().unwrap().starts_with("step 1 "));
    send("-TERM", &child);
    let last = log.last().unwrap().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(75), "{last}");
    assert!(last.contains("saved"), "{last}");
    let step = drdiff().args(["inspect", "--json"]).arg(&out).run().json()["metadata"]["step"]
        .as_u64()
        .unwrap();
    train(&format!("steps={}", step + 1)).run().succeeds();
}

#[test]
fn an_interrupted_sweep_keeps_its_texts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine.yaml");
    let model = fixture().model().display().to_string();
    let sweep =
        "prompts: [\"The old king\"]\nsettings: {tokens: 8, stop_at_end: false}\nrows: [{block_size: 4, steps: 4}]\n";
    std::fs::write(&file, sweep).unwrap();
    let run = |texts: usize| {
        let mut command = drdiff();
        command.arg("sweep").arg(&file).arg("-o").arg(dir.path().join("out"));
        command.args([
            "--set",
            &format!("grid.model=[{model:?}]"),
            "--set",
            &format!("texts={texts}"),
        ]);
        command
    };
    let written = || std::fs::read_to_string(dir.path().join("out/texts.jsonl")).unwrap_or_default();
    let mut child = run(100_000).stderr(Stdio::null()).spawn().unwrap();
    while written().lines().count() < 2 {
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    send("-TERM", &child);
    assert_eq!(child.wait().unwrap().code(), Some(75));
    let kept = written();
    assert!(kept.ends_with('\n') && kept.lines().count() < 100_000);
    run(1).run().succeeds();
    assert_eq!(written(), kept, "what is there is not written anew");
}
