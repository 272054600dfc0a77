//! What is wrong with one request is told under its id, and the others are served.

use std::fs;
use std::path::Path;

use drdiff_jobs::batch::{Shard, verify};
use serde_json::Value;

use crate::batch::{input, job, run};

/// The records of the errors file by id, with fault and reason.
fn errors(dir: &Path) -> Vec<(String, String, String)> {
    let Ok(text) = fs::read_to_string(dir.join("errors-00000-of-00001.jsonl")) else {
        return Vec::new();
    };
    let read = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        let of = |key: &str| record[key].as_str().unwrap_or("nothing").to_owned();
        (of("id"), of("fault"), of("error"))
    };
    let mut errors: Vec<_> = text.lines().map(read).collect();
    errors.sort();
    errors
}

#[test]
fn whatever_one_line_asks_for_the_others_are_served() {
    let wrong = [
        (r#""attention": "retrieval""#, "failed", "cannot by `retrieval`"),
        (r#""attention": "sparse""#, "malformed", "unknown name `sparse`"),
        (r#""process": "gausian""#, "malformed", "unknown process"),
        (r#""commit": "margins""#, "malformed", "unknown commit schedule"),
        (r#""commit": "threshold:2""#, "malformed", "commit threshold is 2"),
        (r#""solver": "sde", "order": 9"#, "failed", "order is 9"),
        (r#""tokens": 1e12"#, "failed", "larger than the limit of 1048576"),
        (r#""tokens": -0.0"#, "failed", "writes nothing"),
        (r#""steps": 9"#, "failed", "give at most 8"),
        (
            r#""steps": 1e12, "process": "gaussian""#,
            "failed",
            "larger than the limit of 65536",
        ),
        (r#""block_size": 65"#, "failed", "a block of 65"),
        (r#""block_size": 1e15"#, "failed", "a block of 1000000000000000"),
        (r#""temperature": -1"#, "failed", "temperature is -1"),
        (
            r#""temperature": "0.7""#,
            "malformed",
            "a number is wanted, not \"0.7\"",
        ),
        (r#""compute": 0.5"#, "failed", "no routed experts"),
        (r#""compute": 2"#, "failed", "`compute` is 2"),
        (r#""stop": """#, "failed", "a stop string is empty"),
        (r#""stop": [null]"#, "malformed", "text is wanted, not null"),
        (r#""seed": 1e400"#, "malformed", "number out of range"),
        (r#""seed": NaN"#, "malformed", "write null"),
    ];
    let mut lines: Vec<String> = Vec::new();
    for (n, (fields, ..)) in wrong.iter().enumerate() {
        lines.push(format!("{{\"id\": \"w{n}\", \"prompt\": \"a\", {fields}}}"));
        lines.push(format!("{{\"id\": \"g{n}\", \"prompt\": \"a\", \"tokens\": 3}}"));
    }
    lines.push(format!(
        "{{\"id\": \"gaps\", \"infill\": \"{}\"}}",
        "[[1000000]]".repeat(10_000)
    ));
    lines.push(format!(
        "{{\"id\": \"deep\", \"prompt\": {}{}}}",
        "[".repeat(9999),
        "]".repeat(9999)
    ));
    let dir = tempfile::tempdir().unwrap();
    let tally = run(dir.path(), Shard::WHOLE, &lines, 4);
    assert_eq!((tally.done, tally.failed + tally.refused), (20, 22));
    let told = errors(dir.path());
    assert_eq!(told.len(), 22);
    for (n, (fields, fault, words)) in wrong.iter().enumerate() {
        let found = told.iter().find(|(id, ..)| *id == format!("w{n}"));
        let (_, found, reason) = found.unwrap_or_else(|| panic!("{fields} is not told"));
        assert!(found == fault && reason.contains(words), "{fields}: {found}, {reason}");
        for name in ["usize", "u64", "f64", "struct", "enum", "variant"] {
            assert!(!reason.contains(name), "{reason}");
        }
    }
    assert_eq!(verify(dir.path(), Some(&mut input(&lines))).unwrap().problems, 0);
}

#[test]
fn an_unusable_line_is_the_request_that_it_names() {
    let line = |id: &str, fields: &str| format!("{{\"id\": \"{id}\", \"prompt\": \"a\", \"tokens\": 3{fields}}}");
    let bad = [
        line("x", ", \"n\": 2"),
        line("y", ", \"block_size\": 99"),
        line("x", ""),
    ];
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), Shard::WHOLE, &bad, 2);
    let faults = || {
        let errors = errors(dir.path()).into_iter();
        errors.map(|(id, fault, _)| format!("{id} {fault}")).collect::<Vec<_>>()
    };
    assert_eq!(faults(), ["x duplicate", "x malformed", "y failed"]);
    // A line that failed and is not usable now has failed no more, and is told once in every run.
    let worse = [line("x", ", \"n\": 2"), line("y", ", \"n\": 2")];
    for _ in 0..2 {
        let tally = run(dir.path(), Shard::WHOLE, &worse, 2);
        assert_eq!((tally.refused, tally.failed_before), (2, 0));
        assert_eq!(faults(), ["x malformed", "y malformed"]);
        assert_eq!(verify(dir.path(), Some(&mut input(&worse))).unwrap().problems, 0);
    }
    let mended = [line("x", ""), line("y", "")];
    let found = verify(dir.path(), Some(&mut input(&mended))).unwrap();
    assert_eq!(found.problems, 2, "{:?}", found.told);
    let mut again = job(dir.path(), Shard::WHOLE, &mended, 2, true);
    while again.step().unwrap() {}
    assert_eq!(again.tally().done, 2);
    again.finish().unwrap();
    assert_eq!(faults(), Vec::<String>::new());
}

#[test]
fn what_has_no_meaning_is_named() {
    let lines: Vec<String> = [
        r#"{"id": "a", "prompt": "x", "tokens": 3, "solver": "sde", "order": 2}"#,
        r#"{"id": "b", "prompt": "x", "tokens": 3, "process": "gaussian", "commit": "margin", "solver": "sde"}"#,
        r#"{"id": "c", "infill": "a [[3]] b", "stop": "x"}"#,
    ]
    .map(str::to_owned)
    .into();
    let dir = tempfile::tempdir().unwrap();
    let mut job = job(dir.path(), Shard::WHOLE, &lines, 2, false);
    while job.step().unwrap() {}
    let ignored: Vec<&str> = job.input().ignored().collect();
    let of = |key: &str, process: &str| format!("{key} (of the process {process})");
    let expected = [
        of("commit", "gaussian"),
        of("order", "absorbing"),
        of("solver", "absorbing"),
    ];
    assert_eq!(ignored, expected);
    job.finish().unwrap();
    assert!(
        errors(dir.path())[0]
            .2
            .contains("`stop` has no meaning beside `infill`")
    );
}
