//! `drdiff batch` when everything goes wrong: killed, asked to stop, out of space, its folder removed or taken.

#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::batch::{batch, records};
use crate::fixture::{Ran, RunExt, drdiff, story};

const PARTIAL: &str = "part-00000-of-00001.jsonl.partial";
const TICK: Duration = Duration::from_millis(1);

/// A file of requests, some of them with settings of their own and two that fail.
fn requests(dir: &Path, count: usize) -> PathBuf {
    let line = |n: usize| {
        let prompt: String = story(n).chars().take(10 + n % 50).collect();
        let extra = match n {
            17 | 90 => ", \"block_size\": 99".to_owned(),
            n if n % 3 == 0 => format!(", \"tokens\": {}", 5 + n % 9),
            _ => String::new(),
        };
        format!(
            "{{\"id\": \"r{n}\", \"prompt\": {}{extra}}}\n",
            serde_json::json!(prompt)
        )
    };
    let path = dir.join("requests.jsonl");
    fs::write(&path, (0..count).map(line).collect::<String>()).unwrap();
    path
}

/// Lines that a running job has written.
fn lines(out: &Path) -> usize {
    fs::read(out.join(PARTIAL)).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
}

/// Waits until the job has written `wanted` lines; `false` if it ended before.
fn wait_for(child: &mut Child, out: &Path, wanted: usize) -> bool {
    while lines(out) < wanted {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        sleep(TICK);
    }
    true
}

/// A job that goes on until it is stopped.
fn long(input: &Path, out: &Path) -> Child {
    let mut command = batch(input, out, &["--batch", "2"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn twenty_kills_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let input = requests(dir.path(), 200);
    let (calm, out) = (dir.path().join("calm"), dir.path().join("out"));
    assert_eq!(batch(&input, &calm, &[]).run().code(), 1, "two requests fail");

    let mut random = 12_345_u64;
    let mut below = |bound: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % bound
    };
    let mut kills = 0;
    while kills < 20 || lines(&out) == 0 {
        let more = below(6) as usize;
        let wanted = lines(&out) + more;
        let mut child = batch(&input, &out, &["--batch", "2"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Some are killed while they load, the others while they write.
        if more > 0 {
            wait_for(&mut child, &out, wanted);
        }
        sleep(TICK * below(if more == 0 { 40 } else { 5 }) as u32);
        child.kill().unwrap();
        if child.wait().unwrap().code().is_none() {
            kills += 1;
        } else {
            // It was faster than this test and is done: the next one begins anew.
            fs::remove_dir_all(&out).unwrap();
        }
    }
    assert!(lines(&out) < 200);
    let last = batch(&input, &out, &[]).run();
    assert_eq!(last.code(), 1, "{}", last.stderr());
    assert!(last.stderr().contains("already there: "), "{}", last.stderr());
    let (ours, theirs) = (records(&out), records(&calm));
    assert_eq!(ours.len(), 198);
    assert_eq!(ours, theirs);
    let errors = |out: &Path| {
        let text = fs::read_to_string(out.join("errors-00000-of-00001.jsonl")).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(errors(&out), errors(&calm));
    let verified = drdiff()
        .args(["batch", "verify"])
        .arg(&out)
        .arg("--input")
        .arg(&input)
        .run()
        .succeeds();
    assert!(
        verified.contains("198 texts, 2 failed requests, 0 problems"),
        "{verified}"
    );
}

#[test]
fn a_job_that_is_asked_to_stop_keeps_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (requests(dir.path(), 150), dir.path().join("out"));
    let mut child = long(&input, &out);
    assert!(wait_for(&mut child, &out, 3));
    let status = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
    let ran = Ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code(), 75, "{}", ran.stderr());
    assert!(
        ran.stderr().contains("interrupted: ") && ran.stderr().contains("goes on from here"),
        "{}",
        ran.stderr()
    );
    let kept = lines(&out);
    assert!(kept >= 3);
    let rest = batch(&input, &out, &[]).run();
    assert!(
        rest.stderr().contains(&format!("already there: {kept} text")),
        "{}",
        rest.stderr()
    );
    assert_eq!(records(&out).len(), 148);
}

#[test]
fn a_second_job_and_a_removed_folder_are_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (requests(dir.path(), 1000), dir.path().join("out"));
    let mut child = long(&input, &out);
    assert!(wait_for(&mut child, &out, 1));
    batch(&input, &out, &[])
        .run()
        .fails(2, &["another job is at work in", "choose another folder"]);
    fs::rename(&out, dir.path().join("elsewhere")).unwrap();
    let ran = Ran(child.wait_with_output().unwrap());
    ran.fails(
        3,
        &["was removed while the job was writing it", "run the same command again"],
    );
}

#[test]
fn a_full_disk_is_one_sentence_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (requests(dir.path(), 60), dir.path().join("out"));
    let whole = batch(&input, &out, &[]);
    // A limit of four KiB on each file stands for a full disk; the signal that comes with it is ignored.
    let mut full = Command::new("sh");
    full.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""]);
    full.arg(whole.get_program()).args(whole.get_args()).arg("--quiet");
    full.run().fails(
        3,
        &["cannot write", PARTIAL, "make room and run the same command again"],
    );
    let kept = lines(&out);
    assert!(kept > 0);
    let bytes = fs::read(out.join(PARTIAL)).unwrap();
    assert!(bytes.ends_with(b"\n"), "no torn line is left");
    let ran = batch(&input, &out, &[]).run();
    assert!(
        ran.stderr().contains(&format!("already there: {kept} text")),
        "{}",
        ran.stderr()
    );
    assert_eq!(records(&out).len(), 59);
}
