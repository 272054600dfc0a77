//! Files to corpus: what is written, what is refused, and what is left behind (nothing).

mod common;

use std::ops::ControlFlow;
use std::path::Path;

use common::{Stories, line, names, options, prepared, story};
use drdiff_data::{Corpus, DataError, PrepareOptions, Split, Stage, TokenizerChoice, documents, prepare};

#[test]
fn documents_come_back_by_tier_with_titles() {
    let stories = Stories::write();
    let corpus = prepared(
        &stories,
        &PrepareOptions {
            title_probability: 1.0,
            ..options()
        },
    );
    let tokenizer = corpus.tokenizer();
    assert_eq!(
        corpus.shards(Split::Train).keys().collect::<Vec<_>>(),
        ["tales", "text", "young"]
    );
    assert_eq!(corpus.shards(Split::Valid).keys().collect::<Vec<_>>(), ["tales"]);

    let tales = &corpus.shards(Split::Train)["tales"];
    assert_eq!(tales.documents(), 20);
    for n in 0..20 {
        let ids = tales.read(tales.document(n)).unwrap();
        assert_eq!(ids.last(), Some(&tokenizer.end_of_text()));
        assert_eq!(tokenizer.decode(&ids), format!("Tale {n}\n\n{}", story(n as usize, 30)));
    }
    // A .txt file is one document of the default tier, without byte order mark and carriage returns.
    let text = &corpus.shards(Split::Train)["text"];
    assert_eq!(tokenizer.decode(&text.read(0..text.tokens()).unwrap()), story(7, 40));

    let entry = &corpus.manifest().train["tales"];
    let bytes: usize = (0..20)
        .map(|n| story(n, 30).len() + format!("Tale {n}\n\n").len())
        .sum();
    assert_eq!((entry.documents, entry.bytes), (20, bytes as u64));
    assert_eq!(entry.bytes, corpus.bytes(&tales.read(0..tales.tokens()).unwrap()));
}

#[test]
fn titles_are_shown_with_their_probability() {
    let stories = Stories::write();
    let shown = |title_probability| {
        let corpus = prepared(
            &stories,
            &PrepareOptions {
                title_probability,
                overwrite: true,
                ..options()
            },
        );
        let tales = &corpus.shards(Split::Train)["tales"];
        (0..20)
            .filter(|n| {
                corpus
                    .tokenizer()
                    .decode(&tales.read(tales.document(*n)).unwrap())
                    .starts_with("Tale")
            })
            .count()
    };
    assert_eq!(shown(0.0), 0);
    assert!((4..=16).contains(&shown(0.5)));
}

#[test]
fn equal_input_gives_equal_bytes() {
    let (first, second) = (Stories::write(), Stories::write());
    prepared(&first, &options());
    prepared(&second, &options());
    for name in names(&first.out()) {
        assert!(
            std::fs::read(first.out().join(&name)).unwrap() == std::fs::read(second.out().join(&name)).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn a_valid_share_takes_whole_documents() {
    let stories = Stories::write();
    let corpus = prepared(
        &stories,
        &PrepareOptions {
            valid_share: Some(0.4),
            ..options()
        },
    );
    let count = |split: Split| {
        corpus
            .manifest()
            .shards(split)
            .values()
            .map(|shard| shard.documents)
            .sum::<u64>()
    };
    assert_eq!(count(Split::Train) + count(Split::Valid), 35);
    assert!((8..=22).contains(&count(Split::Valid)), "{}", count(Split::Valid));
}

#[test]
fn a_tokenizer_can_be_reused() {
    let stories = Stories::write();
    let first = prepared(&stories, &options());
    let tokenizer = TokenizerChoice::Reuse(stories.out().join("tokenizer.json"));
    let out = stories.dir.path().join("second");
    let other = PrepareOptions { tokenizer, ..options() };
    let manifest = prepare(&stories.valid, &[], &out, &other, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(manifest.tokenizer.blake3, first.tokenizer().hash());
    assert_eq!(Corpus::open(&out).unwrap().tokenizer().hash(), first.tokenizer().hash());
}

#[test]
fn conversations_are_written_by_the_template_of_the_tokenizer() {
    let stories = Stories::write();
    let first = prepared(&stories, &options());
    let put = |name: &str, bytes: &[u8]| {
        let path = stories.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let said = "Say <|end|> twice.\n";
    let chat = serde_json::json!({ "messages": [
        {"role": "user", "content": said}, {"role": "assistant", "content": "No."},
    ]});
    let chats = [put("chats.jsonl", format!("{chat}\n").as_bytes())];
    let prepared = |out: &str, path: std::path::PathBuf| {
        let tokenizer = TokenizerChoice::Reuse(path);
        let other = PrepareOptions { tokenizer, ..options() };
        let out = stories.dir.path().join(out);
        prepare(&chats, &[], &out, &other, &mut |_| ControlFlow::Continue(())).map(|_| Corpus::open(&out).unwrap())
    };
    let error = prepared("none", stories.out().join("tokenizer.json"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no chat template") & error.contains("--tokenizer"),
        "{error}"
    );

    let template = "{% for one in messages %}{{ one.role }}: {{ one.content }}<|end|>{% endfor %}";
    let folder = stories.dir.path().join("model");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("tokenizer.json"), first.tokenizer().json()).unwrap();
    std::fs::write(folder.join("chat_template.jinja"), template).unwrap();
    let corpus = prepared("chats", folder).unwrap();
    let tokenizer = corpus.tokenizer();
    let ids = |text: &str| tokenizer.encode(text).unwrap();
    let end = [tokenizer.end_of_text()];
    let turns = [
        ids(&format!("user: {said}")),
        end.to_vec(),
        ids("assistant: No."),
        end.repeat(2),
    ];
    let shard = &corpus.shards(Split::Train)["text"];
    assert_eq!(shard.read(0..shard.tokens()).unwrap(), turns.concat());
    // Who trains on the corpus can write by the template as well.
    let words = drdiff_data::Words::read(&stories.dir.path().join("chats")).unwrap();
    assert_eq!(words.template.unwrap().source(), template);
    assert_eq!(corpus.beside().unwrap().len(), 2);

    let both = format!("{{\"text\": \"a\", \"messages\": []}}\n{chat}\n");
    let error = refusal("x.jsonl", both.as_bytes());
    assert!(
        error.contains("both `text` and `messages`") & error.contains("line 1"),
        "{error}"
    );
}

#[test]
fn progress_ends_at_the_total() {
    let stories = Stories::write();
    let mut seen = Vec::new();
    prepare(
        &stories.train,
        &stories.valid,
        &stories.out(),
        &options(),
        &mut |progress| {
            seen.push(progress);
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    assert!(seen.iter().any(|progress| progress.stage == Stage::Tokenizer));
    let last = seen.last().unwrap();
    assert_eq!((last.stage, last.done, last.documents), (Stage::Encode, last.total, 35));
}

#[test]
fn an_interruption_leaves_nothing() {
    let stories = Stories::write();
    let before = names(stories.dir.path());
    for stage in [Stage::Sample, Stage::Encode] {
        let stop = &mut |progress: drdiff_data::Progress| {
            if progress.stage == stage {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let error = prepare(&stories.train, &stories.valid, &stories.out(), &options(), stop).unwrap_err();
        assert!(matches!(error, DataError::Interrupted));
        assert_eq!(names(stories.dir.path()), before);
    }
}

#[test]
fn an_existing_folder_is_kept_unless_it_may_go() {
    let stories = Stories::write();
    prepared(&stories, &options());
    let again = |overwrite| {
        let options = PrepareOptions { overwrite, ..options() };
        prepare(&stories.valid, &[], &stories.out(), &options, &mut |_| {
            ControlFlow::Continue(())
        })
    };
    assert!(matches!(again(false).unwrap_err(), DataError::Exists { .. }));
    assert_eq!(Corpus::open(stories.out()).unwrap().manifest().sources.len(), 4);
    again(true).unwrap();
    assert_eq!(Corpus::open(stories.out()).unwrap().manifest().sources.len(), 1);
    assert!(names(stories.dir.path()).iter().all(|name| !name.starts_with('.')));
}

/// The message of preparing one bad file; also checks that nothing is left behind.
fn refusal(name: &str, bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).expect("a writable folder");
    let out = dir.path().join("corpus");
    let error = prepare(&[path], &[], &out, &options(), &mut |_| ControlFlow::Continue(())).expect_err("a bad file");
    assert_eq!(names(dir.path()), [name]);
    error.to_string().replace(&format!("{}/", dir.path().display()), "")
}

#[test]
fn bad_files_are_named_with_their_line() {
    let good = line("a", "A", "tales", &story(1, 10));
    let lines = |bad: &str| format!("{good}{good}\n{bad}\n{good}");
    let broken = refusal("x.jsonl", lines("{\"text\": \"no end").as_bytes());
    assert!(broken.starts_with("broken JSON (column 16: EOF"), "{broken}");
    assert!(
        broken.ends_with("at line 4 of x.jsonl; fix or remove the line"),
        "{broken}"
    );

    let without = refusal("x.jsonl", lines("{\"title\": \"only\"}").as_bytes());
    assert!(
        without.contains("missing field `text`") & without.contains("line 4 of x.jsonl"),
        "{without}"
    );
    let number = refusal("x.jsonl", lines("{\"text\": 3}").as_bytes());
    assert!(
        number.contains("expected a string") & number.contains("line 4"),
        "{number}"
    );

    let mut bytes = lines("{\"text\": \"?\"}").into_bytes();
    let at = bytes.iter().position(|byte| *byte == b'?').unwrap();
    bytes[at] = 0xff;
    assert!(refusal("x.jsonl", &bytes).contains("not UTF-8 (byte 10) at line 4 of x.jsonl"));
    assert!(refusal("x.txt", b"abc\xff").starts_with("x.txt is not UTF-8 (byte 3); convert it"));

    assert!(refusal("x.txt", b" \n").starts_with("x.txt is empty"));
    assert!(refusal("x.jsonl", b"\n\n").starts_with("x.jsonl is empty"));
    assert!(refusal("x.pdf", b"text").starts_with("x.pdf: unknown kind of file"));
    assert!(refusal("x.jsonl.zst", b"not zstd at all").contains("line 1 of x.jsonl.zst"));
    assert!(refusal("x.jsonl", line("a", "A", "../up", "text").as_bytes()).contains("the tier \"../up\""));
    assert!(refusal("x.jsonl", line("a", "A", "tales", "").as_bytes()).contains("no document is left for training"));
}

#[test]
fn marks_and_packing_are_told_from_the_content() {
    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let texts = documents(&path)?.map(|document| Ok(document?.text));
        texts.collect::<Result<Vec<String>, DataError>>()
    };
    let lines = "\u{feff}{\"text\": \"One\\r\\ntale\"}\r\n\r\n{\"text\": \"Two\"}\r\n".as_bytes();
    let packed = zstd::encode_all(lines, 1).unwrap();
    for (name, bytes) in [
        ("a.jsonl", lines),
        ("b.jsonl.zst", lines),
        ("c.jsonl.gz", &packed),
        ("d.ndjson", &packed),
    ] {
        assert_eq!(read(name, bytes).unwrap(), ["One\ntale", "Two"], "{name}");
    }
    let text = zstd::encode_all("\u{feff}One\r\ntale\r\n".as_bytes(), 1).unwrap();
    assert_eq!(read("e.txt.zst", &text).unwrap(), ["One\ntale"]);

    let told = |name: &str, bytes: &[u8]| read(name, bytes).unwrap_err().to_string();
    assert!(told("f.txt", b"T\0h\0e\0").contains("iconv -f utf-16le -t utf-8"));
    assert!(told("g.jsonl", b"\xff\xfe{\0").contains("iconv -f utf-16 -t utf-8"));
    assert!(told("h.jsonl", b"[{\"text\": \"a\"}]").contains("jq -c .[]"));
    assert!(told("i.jsonl", b"{\n\"text\": \"a\"\n}\n").contains("jq -c ."));
    let cut = told("j.jsonl.zst", &packed[..packed.len() - 4]);
    assert!(cut.contains("j.jsonl.zst") & cut.contains("cut or damaged"), "{cut}");
}

#[test]
fn missing_files_and_bad_options_are_refused() {
    let stories = Stories::write();
    let refused = |files: &[std::path::PathBuf], options: &PrepareOptions| {
        prepare(files, &[], &stories.out(), options, &mut |_| ControlFlow::Continue(()))
            .unwrap_err()
            .to_string()
    };
    assert!(refused(&[], &options()).starts_with("no input files"));
    assert!(refused(&["nowhere.txt".into()], &options()).starts_with("nowhere.txt does not exist"));
    let title = PrepareOptions {
        title_probability: 1.5,
        ..options()
    };
    assert_eq!(
        refused(&stories.train, &title),
        "the title probability must be between 0 and 1, not 1.5"
    );
    let tokenizer = TokenizerChoice::Train { vocab_size: 100 };
    assert!(refused(&stories.train, &PrepareOptions { tokenizer, ..options() }).contains("vocabulary size"));
    let tokenizer = TokenizerChoice::Reuse(stories.valid[0].clone());
    assert!(refused(&stories.train, &PrepareOptions { tokenizer, ..options() }).contains("not a valid tokenizer.json"));
}

#[test]
fn damaged_corpora_are_noticed() {
    let stories = Stories::write();
    prepared(&stories, &options());
    let damage = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let path = stories.out().join(name);
        let whole = std::fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        change(&mut bytes);
        std::fs::write(&path, &bytes).unwrap();
        let error = Corpus::open(stories.out()).unwrap_err().to_string();
        std::fs::write(&path, whole).unwrap();
        error
    };
    let truncated = damage("train-tales.tokens", &|bytes| bytes.truncate(bytes.len() - 3));
    assert!(
        truncated.contains("truncated") & truncated.contains("drdiff data prepare"),
        "{truncated}"
    );
    assert!(damage("train-tales.tokens", &|bytes| bytes[0] = b'X').contains("not a token shard"));
    assert!(damage("train-tales.tokens", &|bytes| bytes[8] = 9).contains("its version is 9"));
    assert!(damage("train-tales.tokens", &|bytes| bytes[16..24].fill(0xff)).contains("damaged"));
    assert!(damage("manifest.json", &|bytes| bytes.truncate(40)).contains("manifest.json"));
    assert!(damage("tokenizer.json", &|bytes| bytes.push(b'\n')).contains("not the tokenizer of the manifest"));
    assert!(
        Corpus::open(Path::new("nowhere"))
            .unwrap_err()
            .to_string()
            .contains("does not exist")
    );
}
