//! Signals: what is done is kept, and the exit code says that more can follow.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use crate::fixture::{RunExt, drdiff, fixture, generate};

fn send(signal: &str, child: &Child) {
    let status = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
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
