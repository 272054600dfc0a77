//! `drdiff data`.

use std::fs;

use crate::fixture::{RunExt, documents, drdiff, fixture};

#[test]
fn a_tokenizer_can_be_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("more.jsonl");
    fs::write(&text, documents(0..4)).unwrap();
    let out = dir.path().join("shards");
    let prepare = || {
        let mut command = drdiff();
        command
            .args(["data", "prepare"])
            .arg(&text)
            .arg("-o")
            .arg(&out)
            .arg("--tokenizer");
        command.arg(fixture().corpus().join("tokenizer.json"));
        command
    };
    let ran = prepare().run();
    assert_eq!(ran.succeeds(), "", "stdout is for results that are piped");
    assert!(ran.stderr().contains("4 documents"), "{}", ran.stderr());
    assert!(out.join("manifest.json").is_file() && out.join("tokenizer.json").is_file());

    prepare().run().fails(2, &["already exists"]);
    assert_eq!(prepare().args(["--overwrite", "--quiet"]).run().stderr(), "");
}

#[test]
fn bad_files_are_named_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("shards");
    let put = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let prepare = |file| drdiff().args(["data", "prepare"]).arg(file).arg("-o").arg(&out).run();
    prepare(dir.path().join("missing.txt")).fails(2, &["missing.txt does not exist"]);
    prepare(put("empty.txt", b"")).fails(2, &["empty.txt is empty"]);
    prepare(put("latin.txt", b"caf\xe9 au lait")).fails(2, &["not UTF-8", "iconv"]);
    prepare(put("book.pdf", b"%PDF")).fails(2, &["book.pdf", "unknown kind of file"]);
    prepare(put("bad.jsonl", b"{\"text\": 3}\n")).fails(2, &["line 1 of", "bad.jsonl"]);
    assert!(!out.exists());
}

#[test]
fn texts_to_learn_retrieval_from_are_written_and_can_be_prepared() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("recall.jsonl");
    let write = |needles: &str| {
        let mut command = drdiff();
        command.args([
            "data",
            "recall",
            "--texts",
            "12",
            "--bytes",
            "600",
            "--needles",
            needles,
            "-o",
        ]);
        command.arg(&out).run()
    };
    write("40").fails(2, &["needles"]);
    assert!(!out.exists());
    write("4").succeeds();
    let text = fs::read_to_string(&out).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 12);
    assert!(lines.iter().all(|line| line["text"].as_str().unwrap().len() == 600));
    let shards = dir.path().join("shards");
    let mut prepare = drdiff();
    prepare.args(["data", "prepare", "--vocab", "257", "--valid-share", "0.2", "-o"]);
    prepare.arg(&shards).arg(&out).run().succeeds();
    assert!(shards.join("tokenizer.json").is_file());
}
