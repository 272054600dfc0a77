//! Tokenizers of other people's models: the ids of the Python package `tokenizers`, from a folder and from GGUF metadata.
//!
//! `words/*.json` hold small tokenizers that the package trained with the patterns of GPT-2, Llama 3 and Qwen2, texts,
//! and the ids that it gives them.

#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

use std::collections::HashMap;

use candle_core::quantized::gguf_file::Value as Entry;
use drdiff_data::{Tokenizer, TokenizerError, TokenizerFiles};
use proptest::prelude::*;
use serde_json::{Value, json};

const NAMES: [&str; 3] = ["gpt-2", "llama-bpe", "qwen2"];

fn golden(name: &str) -> Value {
    let path = format!("{}/tests/words/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn tokenizer(name: &str) -> Tokenizer {
    Tokenizer::from_bytes(golden(name)["tokenizer"].to_string().as_bytes()).unwrap()
}

fn pairs(list: &Value) -> impl Iterator<Item = (&str, Vec<u32>)> {
    list.as_array().unwrap().iter().map(|pair| {
        let ids = pair[1].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32);
        (pair[0].as_str().unwrap(), ids.collect())
    })
}

/// What a converter writes into a GGUF file for this tokenizer.
fn gguf(file: &Value, pre: &str) -> HashMap<String, Entry> {
    let mut tokens: Vec<(u64, String, i32)> = file["model"]["vocab"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(token, id)| (id.as_u64().unwrap(), token.clone(), 1))
        .collect();
    for token in file["added_tokens"].as_array().unwrap() {
        let kind = if token["special"] == true { 3 } else { 4 };
        tokens.push((
            token["id"].as_u64().unwrap(),
            token["content"].as_str().unwrap().to_owned(),
            kind,
        ));
    }
    tokens.sort();
    tokens.push((0, "[PAD]".into(), 5));
    let merges = file["model"]["merges"].as_array().unwrap().iter();
    let merges = merges.map(|pair| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()));
    let id = |name: &str| {
        let at = tokens.iter().position(|(_, token, _)| token == name);
        Entry::U32(at.unwrap() as u32)
    };
    let (start, end) = match pre {
        "llama-bpe" => ("<|begin_of_text|>", "<|eot_id|>"),
        "qwen2" => ("<|endoftext|>", "<|im_end|>"),
        _ => ("<|endoftext|>", "<|endoftext|>"),
    };
    HashMap::from([
        ("tokenizer.ggml.model".into(), Entry::String("gpt2".into())),
        ("tokenizer.ggml.pre".into(), Entry::String(pre.into())),
        ("tokenizer.ggml.bos_token_id".into(), id(start)),
        ("tokenizer.ggml.eos_token_id".into(), id(end)),
        (
            "tokenizer.ggml.tokens".into(),
            Entry::Array(
                tokens
                    .iter()
                    .map(|(_, token, _)| Entry::String(token.clone()))
                    .collect(),
            ),
        ),
        (
            "tokenizer.ggml.token_type".into(),
            Entry::Array(tokens.iter().map(|(.., kind)| Entry::I32(*kind)).collect()),
        ),
        (
            "tokenizer.ggml.merges".into(),
            Entry::Array(merges.map(Entry::String).collect()),
        ),
    ])
}

#[test]
fn ids_are_those_of_the_original() {
    for name in NAMES {
        let golden = golden(name);
        let folder = tokenizer(name);
        let file = Tokenizer::from_gguf(&gguf(&golden["tokenizer"], name)).unwrap();
        for (text, ids) in pairs(&golden["texts"]) {
            assert_eq!(folder.encode(text).unwrap(), ids, "{name}: {text:?}");
            assert_eq!(file.encode(text).unwrap(), ids, "{name} of a GGUF file: {text:?}");
            assert_eq!(
                folder.decode(&ids),
                folder.normal_form(text).unwrap(),
                "{name}: {text:?}"
            );
            assert_eq!(file.decode(&ids), folder.decode(&ids));
        }
        assert_eq!(file.vocab_size(), folder.vocab_size());
        // What was made of the metadata can be stored and read again.
        let stored = Tokenizer::from_bytes(file.json()).unwrap();
        assert_eq!((stored.hash(), stored.end_of_text()), (file.hash(), file.end_of_text()));
        let stored = Tokenizer::from_files(&file.files()).unwrap();
        let roles = |one: &Tokenizer| {
            (
                one.end_of_text(),
                one.stop_tokens().to_vec(),
                one.start(),
                one.adds_start(),
                one.mask(),
            )
        };
        assert_eq!(roles(&stored), roles(&file));
    }
}

#[test]
fn long_texts_are_cut_where_it_changes_nothing() {
    for name in NAMES {
        let tokenizer = tokenizer(name);
        let golden = golden(name);
        let texts: Vec<&str> = pairs(&golden["texts"]).map(|(text, _)| text).collect();
        let text = texts.join(" and\n\n").repeat(20);
        assert!(text.len() > 150_000);
        let reference: tokenizers::Tokenizer = {
            let mut all = tokenizers::Tokenizer::from_bytes(golden["tokenizer"].to_string()).unwrap();
            all.set_encode_special_tokens(true);
            all
        };
        let whole = reference.encode_fast(text.as_str(), false).unwrap();
        assert!(tokenizer.encode(&text).unwrap() == whole.get_ids(), "{name}");
    }
}

#[test]
fn roles_come_from_names_then_files() {
    let llama = tokenizer("llama-bpe");
    let special = |name: &str| llama.special(name).unwrap();
    assert_eq!(llama.end_of_text(), special("<|end_of_text|>"));
    assert_eq!(llama.stop_tokens(), [special("<|end_of_text|>"), special("<|eot_id|>")]);
    assert_eq!(
        (llama.start(), llama.adds_start()),
        (Some(special("<|begin_of_text|>")), true)
    );
    assert_eq!(llama.mask(), None);

    let qwen = tokenizer("qwen2");
    let (end, turn) = (
        qwen.special("<|endoftext|>").unwrap(),
        qwen.special("<|im_end|>").unwrap(),
    );
    assert_eq!((qwen.end_of_text(), qwen.stop_tokens()), (end, &[end, turn][..]));
    assert_eq!((qwen.start(), qwen.adds_start()), (None, false));

    let mut files = TokenizerFiles {
        tokenizer_json: qwen.json().to_vec(),
        tokenizer_config: Some(
            json!({ "bos_token": null, "eos_token": { "content": "<|im_end|>" } })
                .to_string()
                .into(),
        ),
        generation_config: Some(
            json!({ "eos_token_id": [turn, end, 3, 99_999], "bos_token_id": end })
                .to_string()
                .into(),
        ),
        config: Some(json!({ "eos_token_id": turn, "mask_token_id": 7 }).to_string().into()),
        ..TokenizerFiles::default()
    };
    let told = Tokenizer::from_files(&files).unwrap();
    assert_eq!((told.end_of_text(), told.stop_tokens()), (end, &[3, end, turn][..]));
    assert_eq!((told.start(), told.mask()), (None, Some(7)));
    files.tokenizer_config = Some(
        json!({ "bos_token": "<|im_start|>", "add_bos_token": true, "mask_token": "<think>" })
            .to_string()
            .into(),
    );
    files.config = None;
    let told = Tokenizer::from_files(&files).unwrap();
    assert_eq!((told.start(), told.adds_start()), (told.special("<|im_start|>"), true));
    assert_eq!(told.mask(), told.encode("<think>").unwrap().first().copied());
    files.generation_config = Some(b"{".to_vec());
    assert!(matches!(
        Tokenizer::from_files(&files),
        Err(TokenizerError::Beside { .. })
    ));

    let golden = golden("llama-bpe");
    let file = Tokenizer::from_gguf(&gguf(&golden["tokenizer"], "llama-bpe")).unwrap();
    assert_eq!((file.start(), file.adds_start()), (llama.start(), true));
    assert_eq!(file.stop_tokens(), llama.stop_tokens());
}

#[test]
fn added_tokens_are_text_and_special_tokens_are_not() {
    let qwen = tokenizer("qwen2");
    let ids = qwen.encode("<think>é</think><|im_end|>").unwrap();
    assert_eq!(qwen.decode(&ids), "<think>é</think><|im_end|>");
    assert_eq!(qwen.bytes_of(ids[0]), b"<think>");
    assert!(!ids.contains(&qwen.special("<|im_end|>").unwrap()));
    assert!(qwen.bytes_of(qwen.special("<|im_end|>").unwrap()).is_empty());
    assert!(qwen.fits(qwen.vocab_size()) & qwen.fits(151_936) & !qwen.fits(qwen.vocab_size() - 1));
}

#[test]
fn other_kinds_are_refused_by_name() {
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut file = golden("qwen2")["tokenizer"].clone();
        change(&mut file);
        Tokenizer::from_bytes(file.to_string().as_bytes())
            .unwrap_err()
            .to_string()
    };
    type Case<'a> = (&'a dyn Fn(&mut Value), &'a str);
    let cases: [Case<'_>; 11] = [
        (&|file| file["normalizer"] = json!({ "type": "NFKC" }), "NFKC"),
        (
            &|file| file["model"]["type"] = "WordPiece".into(),
            "its model is WordPiece",
        ),
        (&|file| file["model"]["dropout"] = json!(0.1), "dropout"),
        (
            &|file| file["model"]["continuing_subword_prefix"] = "##".into(),
            "continuing_subword_prefix",
        ),
        (&|file| file["model"]["merges"][0] = json!(["a", "zz"]), "has no entry"),
        (
            &|file| file["model"]["vocab"]["a"] = json!(u32::MAX),
            "is not a number below",
        ),
        (
            &|file| file["model"]["vocab"]["a"] = json!(5),
            "two entries have the id 5",
        ),
        (
            &|file| file["added_tokens"][0]["id"] = json!(9),
            "does not follow the ids",
        ),
        (
            &|file| file["added_tokens"][3]["lstrip"] = json!(true),
            "swallows blanks",
        ),
        (
            &|file| file["pre_tokenizer"] = json!({ "type": "Whitespace" }),
            "\"Whitespace\"",
        ),
        (
            &|file| file["pre_tokenizer"] = json!({ "type": "Metaspace" }),
            "a space before every text",
        ),
    ];
    for (change, reason) in cases {
        let told = changed(change);
        assert!(told.contains(reason), "{told} lacks {reason}");
    }

    let file = golden("gpt-2")["tokenizer"].clone();
    let refused = |key: &str, value: Option<Entry>| {
        let mut metadata = gguf(&file, "gpt-2");
        match value {
            Some(value) => metadata.insert(key.to_owned(), value),
            None => metadata.remove(key),
        };
        Tokenizer::from_gguf(&metadata).unwrap_err().to_string()
    };
    assert!(refused("tokenizer.ggml.pre", Some(Entry::String("viking".into()))).contains("`viking` is not known"));
    assert!(refused("tokenizer.ggml.model", Some(Entry::String("t5".into()))).contains("of the kind `t5`"));
    assert!(refused("tokenizer.ggml.model", Some(Entry::String("llama".into()))).contains("a space before every text"));
    assert!(refused("tokenizer.ggml.pre", None).contains("`tokenizer.ggml.pre`"));
    assert!(refused("tokenizer.ggml.merges", None).contains("`tokenizer.ggml.merges`"));
    assert!(refused("tokenizer.ggml.tokens", Some(Entry::U32(1))).contains("`tokenizer.ggml.tokens`"));
    assert!(refused("tokenizer.ggml.token_type", Some(Entry::Array(vec![]))).contains("not equally many"));
    // Without kinds, names tell which tokens are special.
    let mut metadata = gguf(&file, "gpt-2");
    metadata.remove("tokenizer.ggml.token_type");
    let tokenizer = Tokenizer::from_gguf(&metadata).unwrap();
    assert_eq!(tokenizer.special("<|endoftext|>"), Some(tokenizer.end_of_text()));
}

/// A SentencePiece vocabulary as a GGUF file holds it: bytes, pieces with scores, and the marks of a text.
fn pieces() -> HashMap<String, Entry> {
    let mut tokens: Vec<(String, f32, i32)> = [
        ("<pad>", 3),
        ("<eos>", 3),
        ("<bos>", 3),
        ("<unk>", 2),
        ("<start_of_turn>", 3),
        ("<end_of_turn>", 3),
        ("<b>", 4),
    ]
    .map(|(token, kind)| (token.to_owned(), 0.0, kind))
    .into();
    tokens.extend((0..=255).map(|byte| (format!("<0x{byte:02X}>"), 0.0, 6)));
    let pieces = ["▁", "a", "b", "c", "ab", "bc", "▁a", "▁▁", "abc", "é"];
    tokens.extend(
        pieces
            .iter()
            .zip(0..)
            .map(|(piece, rank)| ((*piece).to_owned(), -(rank as f32), 1)),
    );
    let list = |entries: Vec<Entry>| Entry::Array(entries);
    HashMap::from([
        ("tokenizer.ggml.model".into(), Entry::String("llama".into())),
        ("tokenizer.ggml.add_space_prefix".into(), Entry::Bool(false)),
        ("tokenizer.ggml.bos_token_id".into(), Entry::U32(2)),
        ("tokenizer.ggml.eos_token_id".into(), Entry::U32(1)),
        ("tokenizer.ggml.eot_token_id".into(), Entry::U32(5)),
        (
            "tokenizer.ggml.tokens".into(),
            list(tokens.iter().map(|(token, ..)| Entry::String(token.clone())).collect()),
        ),
        (
            "tokenizer.ggml.scores".into(),
            list(tokens.iter().map(|(_, score, _)| Entry::F32(*score)).collect()),
        ),
        (
            "tokenizer.ggml.token_type".into(),
            list(tokens.iter().map(|(.., kind)| Entry::I32(*kind)).collect()),
        ),
    ])
}

#[test]
fn sentencepiece_merges_by_score() {
    let tokenizer = Tokenizer::from_gguf(&pieces()).unwrap();
    let spelled = |text: &str| {
        let ids = tokenizer.encode(text).unwrap();
        ids.iter()
            .map(|id| String::from_utf8_lossy(tokenizer.bytes_of(*id)).into_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(spelled("abc"), ["abc"]);
    assert_eq!(spelled("bbc a"), ["b", "bc", " a"]);
    assert_eq!(spelled("   ab"), ["  ", " ", "ab"]);
    assert_eq!(spelled("<b>é\n"), ["<b>", "é", "\n"]);
    assert_eq!(tokenizer.encode("x").unwrap(), [7 + u32::from(b'x')]);
    assert_eq!(tokenizer.decode(&tokenizer.encode("語▁<eos>").unwrap()), "語 <eos>");
    assert_eq!((tokenizer.end_of_text(), tokenizer.stop_tokens()), (1, &[1, 5][..]));
    assert_eq!((tokenizer.start(), tokenizer.adds_start()), (Some(2), true));
}

proptest! {
    #[test]
    fn any_text_comes_back(text in any::<String>(), which in 0..NAMES.len()) {
        let tokenizer = tokenizer(NAMES[which]);
        let back = tokenizer.decode(&tokenizer.encode(&text).unwrap());
        prop_assert_eq!(&back, &tokenizer.normal_form(&text).unwrap());
        if NAMES[which] != "qwen2" {
            prop_assert_eq!(back, text);
        }
    }

    #[test]
    fn damaged_files_are_refused(at in 0usize..40_000, byte in any::<u8>(), cut in 0usize..40_000) {
        let mut json = golden("qwen2")["tokenizer"].to_string().into_bytes();
        let len = json.len();
        json[at % len] = byte;
        let _ = Tokenizer::from_bytes(&json).map(|tokenizer| tokenizer.encode("a b"));
        json.truncate(cut % len);
        let _ = Tokenizer::from_bytes(&json).map(|tokenizer| tokenizer.encode("a b"));
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Tokenizer::from_bytes(&bytes).is_err());
    }

    #[test]
    fn odd_parts_never_panic(
        regex in "[ab\\\\s+*?|()\\[\\]^$.{},1-3!<=:pLN]{0,12}",
        merges in prop::collection::vec("[a-c]{0,3} ?[a-c]{0,3}", 0..4),
        vocab in prop::collection::hash_map("[a-c]{1,4}", 0u32..600, 0..5),
        content in "[<a>| ]{0,4}",
    ) {
        let mut file = golden("qwen2")["tokenizer"].clone();
        file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = json!(regex);
        for merge in merges {
            file["model"]["merges"].as_array_mut().unwrap().push(json!(merge));
        }
        for (token, id) in vocab {
            file["model"]["vocab"][token] = json!(id);
        }
        file["added_tokens"][4]["content"] = json!(content);
        if let Ok(tokenizer) = Tokenizer::from_bytes(file.to_string().as_bytes()) {
            let text = "aab abc  a\n\nbc <a>1";
            prop_assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()), text);
        }
    }
}
