//! Jobs with a tiny network: the same texts whatever the batch, the order, the shards and the number of attempts.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use drdiff_generation::{Engine, Error, Settings, StopReason};
use drdiff_jobs::batch::{
    BatchError, Input, Job, Key, Manifest, OutputFormat, Progress, Shard, Store, Survey, Tally, merge, status, verify,
};
use serde_json::{Value, json};

use crate::common::{network, request, tokenizer, write_one};

/// Twenty requests with prompts and lengths of their own; one without an id.
pub(crate) fn requests() -> Vec<String> {
    let line = |n: usize| {
        let prompt = "The cat sat. ".repeat(n % 4);
        match n {
            7 => json!({ "prompt": prompt, "tokens": 9 }),
            n => json!({ "id": format!("r{n}"), "prompt": prompt, "tokens": 6 + n % 5, "steps": 2 + n % 3 }),
        }
    };
    (0..20).map(|n| line(n).to_string()).collect()
}

pub(crate) fn input(lines: &[String]) -> Input {
    let bytes = lines.join("\n").into_bytes();
    Input::new(Box::new(io::Cursor::new(bytes)), Path::new("-"), None).unwrap()
}

pub(crate) fn manifest(shards: usize, lines: &[String]) -> Manifest {
    Manifest {
        version: "1".into(),
        commit: "c".into(),
        model: "tiny".into(),
        model_hash: "h".into(),
        device: "cpu".into(),
        input_format: input(lines).format(),
        format: OutputFormat::Drdiff,
        shards,
        fixed_batch: false,
        settings: request(0, "", 8).settings,
        chosen: None,
    }
}

pub(crate) fn open(dir: &Path, shard: Shard, lines: &[String], retry: bool) -> Result<Store, Box<BatchError>> {
    Store::open(dir, manifest(shard.count(), lines), shard, retry).map_err(Box::new)
}

pub(crate) fn job(dir: &Path, shard: Shard, lines: &[String], window: usize, retry: bool) -> Job {
    let store = open(dir, shard, lines, retry).unwrap();
    let engine = Engine::new(network(), tokenizer(), window).unwrap();
    Job::new(store, input(lines), Some(engine), window)
}

/// Runs a shard to its end.
pub(crate) fn run(dir: &Path, shard: Shard, lines: &[String], window: usize) -> Tally {
    let mut job = job(dir, shard, lines, window, false);
    while job.step().unwrap() {}
    let tally = job.tally();
    job.finish().unwrap();
    tally
}

/// Records by id, without what they cost in time.
pub(crate) fn records(dir: &Path) -> BTreeMap<String, Value> {
    let mut records = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("part-") && name.contains(".jsonl") {
            for line in std::fs::read_to_string(path).unwrap().lines() {
                let mut record: Value = serde_json::from_str(line).unwrap();
                record.as_object_mut().unwrap().remove("seconds").unwrap();
                let id = record["id"].as_str().unwrap().to_owned();
                assert!(records.insert(id, record).is_none(), "once each");
            }
        }
    }
    records
}

#[test]
fn texts_do_not_depend_on_batch_order_or_shards() {
    let lines = requests();
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), Shard::WHOLE, &lines, 1);
    let expected = records(dir.path());
    assert_eq!(expected.len(), lines.len());
    for window in [4, 8] {
        let dir = tempfile::tempdir().unwrap();
        let tally = run(dir.path(), Shard::WHOLE, &lines, window);
        assert_eq!((tally.done, tally.active), (20, 0));
        assert_eq!(records(dir.path()), expected, "{window} at once");
    }
    let reversed: Vec<String> = lines.iter().rev().cloned().collect();
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), Shard::WHOLE, &reversed, 3);
    assert_eq!(records(dir.path()), expected, "reversed");
    let dir = tempfile::tempdir().unwrap();
    let sizes = [2, 0, 1].map(|index| run(dir.path(), Shard::new(index, 3).unwrap(), &lines, 4).done);
    assert!(
        sizes.iter().sum::<u64>() == 20 && sizes.iter().all(|size| *size > 0),
        "{sizes:?}"
    );
    assert_eq!(records(dir.path()), expected, "three shards");
}

#[test]
fn a_record_is_what_the_engine_writes_under_the_ids_key() {
    let lines = [json!({ "id": "a", "prompt": "The cat", "tokens": 16 }).to_string()];
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), Shard::WHOLE, &lines, 2);
    let output = write_one(network(), request(Key::of("a").noise, "The cat", 16));
    let record = &records(dir.path())["a"];
    assert_eq!(
        (&record["text"], &record["nfe"]),
        (&json!(output.text), &json!(output.nfe))
    );
}

#[test]
fn a_job_goes_on_where_it_ended() {
    let lines = requests();
    let whole = tempfile::tempdir().unwrap();
    run(whole.path(), Shard::WHOLE, &lines, 4);
    let dir = tempfile::tempdir().unwrap();
    let mut first = job(dir.path(), Shard::WHOLE, &lines, 4, false);
    while first.tally().done < 5 {
        assert!(first.step().unwrap());
    }
    let done = first.tally().done;
    drop(first);
    assert_eq!(status(dir.path()).unwrap().1[0].progress, Progress::Stopped);
    // What a crash within a write leaves behind.
    let part = dir.path().join("part-00000-of-00001.jsonl.partial");
    let mut text = std::fs::read(&part).unwrap();
    text.extend(b"{\"id\":\"r1");
    std::fs::write(&part, text).unwrap();
    let mut store = open(dir.path(), Shard::WHOLE, &lines, false).unwrap();
    assert_eq!((store.done(), store.dropped()), (done, 9));
    let survey = store.survey(&mut input(&lines), || true).unwrap();
    let expected = Survey {
        due: 20 - done,
        done,
        ..Survey::default()
    };
    assert_eq!(survey, expected);
    drop(store);
    let tally = run(dir.path(), Shard::WHOLE, &lines, 2);
    assert_eq!((tally.skipped, tally.done), (done, 20 - done));
    assert_eq!(records(dir.path()), records(whole.path()));
    // Nothing is due now, and more requests may follow.
    assert_eq!(run(dir.path(), Shard::WHOLE, &lines, 2).skipped, 20);
    let mut longer = lines;
    longer.push(json!({ "id": "later", "prompt": "x" }).to_string());
    assert_eq!(run(dir.path(), Shard::WHOLE, &longer, 2).done, 1);
    assert_eq!(verify(dir.path(), Some(&mut input(&longer))).unwrap().problems, 0);
}

#[test]
fn an_end_that_was_cut_short_is_made_up_for() {
    let mut lines = requests();
    lines.push("no request".to_owned());
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(format!("{name}-00000-of-00001"));
    let (part, errors) = (
        path("part").with_extension("jsonl"),
        path("errors").with_extension("jsonl"),
    );
    let done = path("part").with_extension("done");
    let partial = |path: &Path| path.with_extension("jsonl.partial");
    run(dir.path(), Shard::WHOLE, &lines, 8);
    let expected = [&part, &errors, &done].map(|path| std::fs::read(path).unwrap());
    // The end gives the errors their name, then the part, then writes the marker.
    for renamed in 0..3 {
        std::fs::remove_file(&done).unwrap();
        for path in [&part, &errors].iter().take(2 - renamed) {
            std::fs::rename(path, partial(path)).unwrap();
        }
        let tally = run(dir.path(), Shard::WHOLE, &lines, 8);
        assert_eq!((tally.skipped, tally.done, tally.refused), (20, 0, 1));
        let found = [&part, &errors, &done].map(|path| std::fs::read(path).unwrap());
        assert_eq!(found, expected, "after {renamed} files");
    }
}

#[test]
fn lines_that_cannot_be_served_are_told_and_the_others_are_served() {
    let lines: Vec<String> = [
        r#"{"id": "good", "prompt": "a"}"#,
        r#"{"id": "half""#,
        r#"{"id": "good", "prompt": "b"}"#,
        r#"{"id": "wide", "prompt": "a", "block_size": 65}"#,
        r#"{"id": "gap", "infill": "nothing open"}"#,
        r#"{"id": "fill", "infill": "a [[3]] b"}"#,
    ]
    .map(str::to_owned)
    .into();
    let dir = tempfile::tempdir().unwrap();
    let tally = run(dir.path(), Shard::WHOLE, &lines, 2);
    assert_eq!((tally.done, tally.failed, tally.refused), (2, 2, 2));
    let read = || std::fs::read_to_string(dir.path().join("errors-00000-of-00001.jsonl")).unwrap();
    let told = read();
    for words in [
        r#""line":2,"id":null,"fault":"malformed","error":"the line is not JSON"#,
        r#""line":3,"id":"good","fault":"duplicate""#,
        r#""line":4,"id":"wide","fault":"failed","error":"a block of 65"#,
        r#""line":5,"id":"gap","fault":"failed","error":"the text has no gap"#,
    ] {
        assert!(told.contains(words), "{words} is not in {told}");
    }
    // Failures are left alone, and everything is told once.
    let tally = run(dir.path(), Shard::WHOLE, &lines, 2);
    assert_eq!((tally.skipped, tally.failed, tally.failed_before), (2, 0, 2));
    assert_eq!(read(), told);
    let mut again = job(dir.path(), Shard::WHOLE, &lines, 2, true);
    while again.step().unwrap() {}
    assert_eq!(again.tally().failed, 2);
    again.finish().unwrap();
    assert_eq!(read().lines().count(), 4);
    // Mended lines lose their errors.
    let mended: Vec<String> = lines
        .iter()
        .filter(|line| line.contains("good\", \"prompt\": \"a"))
        .cloned()
        .collect();
    run(dir.path(), Shard::WHOLE, &mended, 2);
    assert_eq!(read().lines().count(), 2, "the two requests that failed: {}", read());
}

/// Requests that are made while they are read, and how many bytes of them were.
struct Endless {
    read: Arc<AtomicUsize>,
}

impl Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let line = format!("{}\n", "x".repeat(1000));
        let len = out.len().min(line.len());
        let at = self.read.load(Ordering::Relaxed) % line.len();
        let len = len.min(line.len() - at);
        out[..len].copy_from_slice(&line.as_bytes()[at..at + len]);
        self.read.fetch_add(len, Ordering::Relaxed);
        Ok(len)
    }
}

#[test]
fn only_a_window_of_an_endless_input_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let read = Arc::new(AtomicUsize::new(0));
    let source = Endless { read: read.clone() };
    let input = Input::new(Box::new(source), Path::new("a.txt"), None).unwrap();
    let mut manifest = manifest(1, &["a".to_owned()]);
    manifest.settings.tokens = 2;
    manifest.settings.sampler.steps = 1;
    let store = Store::open(dir.path(), manifest, Shard::WHOLE, false).unwrap();
    let engine = Engine::new(network(), tokenizer(), 2).unwrap();
    let mut job = Job::new(store, input, Some(engine), 2);
    for _ in 0..12 {
        assert!(job.step().unwrap());
        let tally = job.tally();
        let taken = (tally.done as usize + tally.active) * 1001;
        // One buffer lies between the source and the requests.
        assert!(read.load(Ordering::Relaxed) <= taken + (1 << 16) + 1001);
    }
    assert!(job.tally().done >= 2);
}

#[test]
fn damage_is_found() {
    let lines = requests();
    let dir = tempfile::tempdir().unwrap();
    let whole = |dir: &Path| verify(dir, Some(&mut input(&requests()))).unwrap();
    for index in 0..2 {
        run(dir.path(), Shard::new(index, 2).unwrap(), &lines, 8);
    }
    let found = whole(dir.path());
    assert_eq!((found.problems, found.records, found.shards_done), (0, 20, 2));

    let part = dir.path().join("part-00000-of-00002.jsonl");
    let good = std::fs::read_to_string(&part).unwrap();
    let told = |text: &str, words: &[&str]| {
        std::fs::write(&part, text).unwrap();
        let told = whole(dir.path()).told.join("\n");
        for word in words {
            assert!(told.contains(word), "{word:?} is not in {told}");
        }
        assert!(merge(dir.path(), &dir.path().join("merged.jsonl")).is_err());
    };
    let (first, rest) = good.split_once('\n').unwrap();
    told(
        rest,
        &["was changed after it was done", "has no record", "and its marker says"],
    );
    told(&format!("{good}{first}\n"), &["has two records"]);
    told(
        &good.replacen("\"text\":\"", "\"text\":\"x", 1),
        &["was changed after it was done"],
    );
    told(&format!("{{\n{rest}"), &["is damaged at line 1"]);
    let other = std::fs::read_to_string(dir.path().join("part-00001-of-00002.jsonl")).unwrap();
    told(&other, &["does not belong to the shard 0/2", "has two records"]);
    std::fs::write(&part, &good).unwrap();
    std::fs::remove_file(dir.path().join("part-00001-of-00002.done")).unwrap();
    assert!(whole(dir.path()).told[0].contains("the shard 1/2 is not done"));
    let error = merge(dir.path(), &dir.path().join("merged.jsonl")).unwrap_err();
    assert!(
        matches!(
            error,
            BatchError::NotDone {
                missing: 1,
                first: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn merged_files_do_not_depend_on_the_shards() {
    let lines = requests();
    let merged = |shards: usize, window: usize| {
        let dir = tempfile::tempdir().unwrap();
        for index in 0..shards {
            run(dir.path(), Shard::new(index, shards).unwrap(), &lines, window);
        }
        let out = dir.path().join("merged.jsonl");
        assert_eq!(merge(dir.path(), &out).unwrap(), 20);
        assert!(matches!(merge(dir.path(), &out), Err(BatchError::Exists { .. })));
        let text = std::fs::read_to_string(out).unwrap();
        let untimed = text.lines().map(|line| {
            let mut record: Value = serde_json::from_str(line).unwrap();
            record["seconds"].take();
            record
        });
        untimed.collect::<Vec<_>>()
    };
    assert_eq!(merged(1, 1), merged(3, 8));
}

#[test]
fn a_folder_is_one_jobs() {
    let lines = requests();
    let dir = tempfile::tempdir().unwrap();
    let first = job(dir.path(), Shard::WHOLE, &lines, 1, false);
    assert_eq!(status(dir.path()).unwrap().1[0].progress, Progress::Running);
    let error = open(dir.path(), Shard::WHOLE, &lines, false).unwrap_err();
    assert!(matches!(*error, BatchError::Locked { .. }), "{error}");
    drop(first);
    run(dir.path(), Shard::WHOLE, &lines, 8);
    let part = dir.path().join("part-00000-of-00001.jsonl");
    std::fs::copy(&part, part.with_extension("jsonl.partial")).unwrap();
    let error = open(dir.path(), Shard::WHOLE, &lines, false).unwrap_err();
    assert!(matches!(*error, BatchError::Both { .. }), "{error}");
    std::fs::remove_file(part.with_extension("jsonl.partial")).unwrap();
    let error = open(dir.path(), Shard::new(0, 2).unwrap(), &lines, false)
        .unwrap_err()
        .to_string();
    assert!(error.contains("shards = 1, and now shards is 2"), "{error}");
    open(dir.path(), Shard::WHOLE, &lines, false).unwrap();
}

#[test]
fn a_text_ends_before_a_stop_string() {
    let base = request(0, "The cat", 48);
    let whole = write_one(network(), base.clone());
    let start = whole.text.char_indices().nth(20).unwrap().0;
    let stop: String = whole.text[start..].chars().take(3).collect();
    let mut stopped = base;
    stopped.settings = Settings {
        stop: vec!["never written".into(), stop.clone()],
        ..stopped.settings
    };
    let output = write_one(network(), stopped.clone());
    let end = whole.text.find(&stop).unwrap();
    assert_eq!(
        (output.text.as_str(), output.stop),
        (&whole.text[..end], StopReason::Stop)
    );
    assert!(output.nfe < whole.nfe);
    stopped.settings.stop.push(String::new());
    let mut engine = Engine::new(network(), tokenizer(), 1).unwrap();
    assert!(matches!(engine.submit(stopped), Err(Error::EmptyStop)));
}
