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
