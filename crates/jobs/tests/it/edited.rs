//! Files of a job that somebody has changed: what was finished stays known as changed, however often the job is run.

use std::fs;
use std::path::{Path, PathBuf};

use drdiff_jobs::batch::{Shard, merge, verify};
use tempfile::TempDir;

use crate::batch::{input, job, open, requests, run};

/// A finished job in two shards, and the part and the marker of the first.
fn finished() -> (TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    for index in 0..2 {
        run(dir.path(), Shard::new(index, 2).unwrap(), &requests(), 8);
    }
    let part = dir.path().join("part-00000-of-00002.jsonl");
    let done = part.with_extension("done");
    (dir, part, done)
}

fn first() -> Shard {
    Shard::new(0, 2).unwrap()
}

fn told(dir: &Path) -> String {
    verify(dir, Some(&mut input(&requests()))).unwrap().told.join("\n")
}

fn refused(dir: &Path, words: &str) {
    for retry in [false, true] {
        let error = open(dir, first(), &requests(), retry).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    assert!(told(dir).contains(words), "{}", told(dir));
    let merged = dir.join("merged.jsonl");
    assert!(merge(dir, &merged).is_err() && !merged.exists());
}

#[test]
fn a_finished_part_that_was_edited_is_not_opened() {
    let (dir, part, done) = finished();
    let (good, marker) = (fs::read_to_string(&part).unwrap(), fs::read(&done).unwrap());
    let (first_line, rest) = good.split_once('\n').unwrap();
    for edited in [
        good.replacen("\"text\":\"", "\"text\":\"x", 1),
        rest.to_owned(),
        format!("{good}{first_line}\n"),
        String::new(),
    ] {
        fs::write(&part, &edited).unwrap();
        refused(dir.path(), "was changed after it was done");
        assert_eq!(
            (fs::read_to_string(&part).unwrap(), fs::read(&done).unwrap()),
            (edited, marker.clone())
        );
    }
    // The other shard is nobody's business here.
    run(dir.path(), Shard::new(1, 2).unwrap(), &requests(), 8);
    fs::remove_file(&part).unwrap();
    refused(dir.path(), "is missing and its marker is there");
    // What the sentence says helps.
    fs::remove_file(&done).unwrap();
    assert_eq!(run(dir.path(), first(), &requests(), 8).skipped, 0);
    assert_eq!(told(dir.path()), "");
}

#[test]
fn a_marker_that_was_edited_is_told() {
    let (dir, _, done) = finished();
    for edited in ["", "{}", "[1]"] {
        fs::write(&done, edited).unwrap();
        let error = open(dir.path(), first(), &requests(), false).unwrap_err().to_string();
        assert!(
            error.contains("the marker") && error.contains("remove it and its part"),
            "{error}"
        );
        assert!(told(dir.path()).contains("is damaged"));
    }
}

#[test]
fn a_part_that_is_open_again_keeps_what_was_finished() {
    let (dir, part, done) = finished();
    let growing = |path: &Path| PathBuf::from(format!("{}.partial", path.display()));
    let mut more = requests();
    more.extend((0..40).map(|n| format!("{{\"id\": \"more{n}\", \"prompt\": \"\", \"tokens\": 4}}")));
    let mut begun = job(dir.path(), first(), &more, 2, false);
    while begun.tally().done < 2 {
        assert!(begun.step().unwrap());
    }
    drop(begun);
    assert!(growing(&done).exists() && !done.exists());
    let good = fs::read_to_string(growing(&part)).unwrap();
    fs::write(growing(&part), good.replacen("\"text\":\"", "\"text\":\"x", 1)).unwrap();
    refused(dir.path(), "was changed after it was done");
    fs::write(growing(&part), &good).unwrap();
    assert_eq!(run(dir.path(), first(), &more, 8).failed, 0);
    assert!(done.exists() && !growing(&done).exists());
    run(dir.path(), Shard::new(1, 2).unwrap(), &more, 8);
    assert_eq!(verify(dir.path(), Some(&mut input(&more))).unwrap().problems, 0);
}

#[test]
fn errors_that_were_taken_out_are_missed() {
    let mut lines = requests();
    lines.extend([
        "{\"id\": \"wrong\", \"promt\": \"a\"}".to_owned(),
        "no request".to_owned(),
    ]);
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), Shard::WHOLE, &lines, 8);
    let found = || verify(dir.path(), Some(&mut input(&lines))).unwrap().told;
    assert_eq!(found(), Vec::<String>::new());
    let errors = dir.path().join("errors-00000-of-00001.jsonl");
    let good = fs::read(&errors).unwrap();
    fs::remove_file(&errors).unwrap();
    let told = found().join("\n");
    assert!(
        told.contains("has 0 lines that are no requests, and its marker says 2"),
        "{told}"
    );
    assert!(told.contains("the request `wrong` (line 21) has no record"), "{told}");
    // The next run makes them again.
    assert_eq!(run(dir.path(), Shard::WHOLE, &lines, 8).refused, 2);
    assert_eq!(fs::read(&errors).unwrap(), good);
}
