//! Files and prompts as people make them: marks, line ends, packed files, spaces at the end, and files of other kinds.

use std::fs;
use std::path::{Path, PathBuf};

use crate::batch::{batch, records};
use crate::fixture::{RunExt, documents, drdiff, generate};

fn put(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_space_at_the_end_of_a_prompt_is_written_once() {
    let json = |prompt: &str| generate(&[prompt, "--tokens", "16", "--json"]).run().json();
    let shown = |prompt: &str| generate(&[prompt, "--tokens", "16"]).run().succeeds();
    let plain = json("The old king");
    for prompt in ["The old king ", "The old king    "] {
        let spaced = json(prompt);
        assert_eq!(spaced["ids"], plain["ids"]);
        assert_eq!(spaced["prompt"], prompt);
        let text = plain["text"].as_str().unwrap();
        assert_eq!(spaced["text"], text.strip_prefix(' ').unwrap_or(text));
        let shown = shown(prompt);
        let behind = shown.strip_prefix("The old king ").unwrap();
        assert!(!behind.starts_with(' ') || text.starts_with("  "), "{shown:?}");
    }
}

#[test]
fn line_ends_and_marks_mean_the_same_at_every_door() {
    let dir = tempfile::tempdir().unwrap();
    let unix = put(dir.path(), "unix.txt", b"A grey cat\n\nNobody sold\n");
    let expected = generate(&["-f"])
        .arg(&unix)
        .args(["--tokens", "16", "--no-echo"])
        .run()
        .succeeds();
    for (name, bytes) in [
        ("windows.txt", &b"\xef\xbb\xbfA grey cat\r\n\r\nNobody sold\r\n"[..]),
        ("mac.txt", b"A grey cat\r\rNobody sold\r"),
    ] {
        let file = put(dir.path(), name, bytes);
        let run = generate(&["-f"]).arg(file).args(["--tokens", "16", "--no-echo"]).run();
        assert_eq!(run.succeeds(), expected, "{name}");
    }
    let lines = "{\"id\": 1, \"prompt\": \"A grey cat\\r\\n\"}\n{\"id\": 2, \"prompt\": \"A grey cat\\r\"}\n";
    let unix = "{\"id\": 1, \"prompt\": \"A grey cat\\n\"}\n{\"id\": 2, \"prompt\": \"A grey cat\\n\"}\n";
    let text = |name: &str, lines: &str| {
        let out = dir.path().join(name);
        let input = put(dir.path(), &format!("{name}.jsonl"), lines.as_bytes());
        batch(&input, &out, &[]).run().succeeds();
        records(&out)
    };
    let (windows, unix) = (text("w", lines), text("u", unix));
    assert_eq!(windows["1"]["prompt"], "A grey cat\r\n", "records hold what was given");
    for id in ["1", "2"] {
        assert_eq!(windows[id]["text"], unix[id]["text"]);
    }
}

#[test]
fn marked_corpora_give_the_same_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let plain = documents(0..6);
    let marked = format!("\u{feff}{}", plain.replace('\n', "\r\n"));
    let tokens = |name: &str, bytes: &[u8]| {
        let out = dir.path().join(format!("{name}-shards"));
        let mut prepare = drdiff();
        prepare
            .args([
                "data",
                "prepare",
                "-q",
                "--vocab",
                "400",
                "--title-probability",
                "0",
                "--valid-share",
                "0",
            ])
            .arg(put(dir.path(), name, bytes));
        prepare.arg("-o").arg(&out).run().succeeds();
        fs::read(out.join("train-tales.tokens")).unwrap()
    };
    let expected = tokens("plain.jsonl", plain.as_bytes());
    assert!(tokens("marked.jsonl", marked.as_bytes()) == expected);
    // Whether a file is packed its content tells, not its name.
    assert!(tokens("plain.jsonl.gz", plain.as_bytes()) == expected);
}

#[test]
fn what_is_no_list_of_requests_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    for (name, bytes, words) in [
        (
            "array.json",
            &b"[\n  {\"prompt\": \"a\"}\n]\n"[..],
            ["JSON array", "jq -c .[]"],
        ),
        ("array.txt", b"[{\"prompt\": \"a\"}]", ["JSON array", "jq -c .[]"]),
        (
            "spread.jsonl",
            b"{\n\"prompt\": \"a\"\n}\n",
            ["several lines", "jq -c ."],
        ),
        ("table.csv", b"id,prompt\n1,Once\n", ["table", "mlr"]),
        (
            "marked.txt",
            b"\xff\xfeT\0h\0e\0\n\0",
            ["UTF-16", "iconv -f utf-16 -t utf-8"],
        ),
        ("bare.jsonl", b"{\0}\0\n\0", ["UTF-16", "iconv -f utf-16le -t utf-8"]),
        ("book.pdf", b"%PDF-1.7\n", ["PDF", "pdftotext"]),
    ] {
        batch(&put(dir.path(), name, bytes), &out, &[]).run().fails(2, &words);
        assert!(!out.exists(), "{name}");
    }
    let prose = put(dir.path(), "prose.txt", b"[Scene: a house]\n{Once} upon\n");
    batch(&prose, &out, &[]).run().succeeds();
    assert_eq!(records(&out).len(), 2);
    let forced = dir.path().join("forced");
    let array = put(dir.path(), "forced.txt", b"[\"a\", \"b\"]\n");
    batch(&array, &forced, &["--input-format", "text"]).run().succeeds();
    assert_eq!(records(&forced).len(), 1);
}

#[test]
fn settings_may_begin_with_a_mark() {
    let dir = tempfile::tempdir().unwrap();
    let write = |bytes: &[u8]| {
        let file = put(dir.path(), "mine.yaml", bytes);
        generate(&["Nobody", "--config"]).arg(file).run()
    };
    assert_eq!(
        write(b"\xef\xbb\xbftokens: 8\r\n").succeeds(),
        write(b"tokens: 8\n").succeeds()
    );
    write(b"\xff\xfet\0").fails(2, &["mine.yaml is not UTF-8 but UTF-16", "iconv"]);
}
