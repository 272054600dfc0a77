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

#[test]
fn some_of_the_text_is_kept_to_measure_on_and_what_training_will_miss_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (books, note) = (dir.path().join("books.jsonl"), dir.path().join("note.txt"));
    fs::write(&books, documents(0..30)).unwrap();
    fs::write(&note, "A short note of mine.").unwrap();
    let prepare = |out: &str, args: &[&str]| {
        let mut command = drdiff();
        command
            .args(["data", "prepare", "--vocab", "5000"])
            .arg(&books)
            .arg(&note);
        let ran = command.args(args).arg("-o").arg(dir.path().join(out)).run();
        ran.succeeds();
        ran.stderr()
    };
    let told = prepare("kept", &[]);
    for words in ["kept by default", "--set model.vocab=", "the tier `text` has"] {
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
    assert!(prepare("none", &["--valid-share", "0"]).contains("training will not measure"));
    let manifest = |out: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(dir.path().join(out).join("manifest.json")).unwrap()).unwrap()
    };
    let documents = manifest("kept")["valid"]["tales"]["documents"].as_u64().unwrap();
    assert!((1..=6).contains(&documents), "{documents}");
    assert_eq!(manifest("none")["valid"], serde_json::json!({}));
}
