//! Files that nobody vouches for: whatever their bytes, they are read or refused, in little memory and without a panic.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::sync::LazyLock;

use candle_core::{DType, Device, Tensor};
use drdiff_data::Tokenizer;
use drdiff_gguf::{GgufHeader, GgufValue};
use drdiff_kernels::{Builder, Source};
use drdiff_model::{
    Checkpoint, Loading, Metadata, Network, Result, TensorFile, build, read_checkpoint, read_gguf, save_checkpoint,
    save_gguf,
};
use drdiff_noise::Noise;
use drdiff_testkit::{cases, limited};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{TestCaseResult, TestRunner};
use serde_json::{Value, json};

/// Memory that each of these tests may have.
const MEBIBYTES: u64 = 1024;

fn metadata() -> Metadata {
    let config = json!({
        "vocab": 40, "width": 32, "embed": 32, "layers": 2, "heads": 2, "kv_heads": 1, "head_dim": 16, "hidden": 32, "context": 256,
        "routing": { "kind": "expert_choice", "experts": 2, "expert_hidden": 8, "active": 1.0, "spread": 0.0 },
        "attention": { "plan": "retrieval", "retrieval": { "groups": 1, "landmark": 8 }, "neighbours": 1 },
    });
    let metadata = json!({ "config": config, "step": 1, "tokens": 2, "tokenizer_hash": "abc", "commit": "test" });
    serde_json::from_value(metadata).unwrap()
}

fn saved(save: impl FnOnce(&Path, &Metadata, &[(String, Tensor)]) -> Result<()>) -> Vec<u8> {
    let builder = Builder::new(Source::Init(Noise::new(4, 0)), &Device::Cpu);
    Network::new(&builder, &metadata().config, DType::F32).unwrap();
    let (params, _) = builder.finish();
    let tensors: Vec<(String, Tensor)> = params
        .vars()
        .map(|(name, var)| (name.to_owned(), var.as_tensor().clone()))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    save(&path, &metadata(), &tensors).unwrap();
    std::fs::read(path).unwrap()
}

static SAFETENSORS: LazyLock<Vec<u8>> = LazyLock::new(|| saved(save_checkpoint));
static GGUF: LazyLock<Vec<u8>> = LazyLock::new(|| saved(save_gguf));

/// Tries a property ten thousand times, or as often as `PROPTEST_CASES` says.
fn try_all<S: Strategy>(strategy: &S, test: impl Fn(S::Value) -> TestCaseResult) {
    let config = ProptestConfig {
        cases: cases(10_000),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    };
    TestRunner::new(config).run(strategy, test).unwrap();
}

/// Numbers at which arithmetic and allocation go wrong, and some others.
fn number() -> impl Strategy<Value = u64> {
    let powers = (0_u32..64).prop_flat_map(|power| {
        let power = 1_u64 << power;
        select(vec![power - 1, power, power.saturating_add(1)])
    });
    prop_oneof![4 => powers, 2 => 0_u64..100, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

/// A change of some bytes, the beginning of the file far more often than its end.
#[derive(Debug, Clone)]
enum Change {
    Byte(Index, u8),
    Number(Index, u64, usize),
    Cut(Index),
    Insert(Index, Vec<u8>),
    Twice(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (at(), number(), select(vec![4_usize, 8])).prop_map(|(at, number, width)| Change::Number(at, number, width)),
        at().prop_map(Change::Cut),
        (at(), prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at(), at()).prop_map(|(from, to)| Change::Twice(from, to)),
    ]
}

/// `bytes` with changes in the first `head` of them, or, of every eighth file, anywhere.
fn changed(bytes: &[u8], head: usize, anywhere: bool, changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for change in changes {
        let most = if anywhere { bytes.len() } else { head.min(bytes.len()) };
        if most == 0 {
            break;
        }
        match change {
            Change::Byte(at, byte) => bytes[at.index(most)] = *byte,
            Change::Number(at, number, width) => {
                let at = at.index(most);
                let end = (at + width).min(bytes.len());
                bytes[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
            }
            Change::Cut(at) => bytes.truncate(at.index(most)),
            Change::Insert(at, more) => {
                let at = at.index(most);
                bytes.splice(at..at, more.iter().copied());
            }
            Change::Twice(from, to) => {
                let (from, to) = (from.index(most), to.index(most));
                let copy = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(to..to, copy);
            }
        }
    }
    bytes
}

fn changes() -> impl Strategy<Value = (bool, Vec<Change>)> {
    (prop::bool::weighted(0.125), prop::collection::vec(change(), 0..5))
}

/// Builds what could be read; `false` if nothing could.
fn built(read: Result<Checkpoint>, loading: Loading) -> bool {
    read.map(|checkpoint| build(checkpoint, &Device::Cpu, loading)).is_ok()
}

fn path() -> &'static Path {
    Path::new("model")
}

fn read_safetensors(bytes: &[u8]) {
    if built(read_checkpoint(bytes, path(), &Device::Cpu), Loading::Inference) {
        built(read_checkpoint(bytes, path(), &Device::Cpu), Loading::Training);
    }
}

/// Reads every value of a head, lists within lists too.
fn walk(value: GgufValue<'_>) {
    let _ = (value.as_u64(), value.as_f64(), value.as_bool(), value.as_text());
    if let Some(list) = value.as_list() {
        assert_eq!(list.iter().map(walk).count(), list.len());
    }
}

fn read_all_of_gguf(bytes: &[u8]) {
    if let Ok(header) = GgufHeader::read(bytes) {
        header.metadata().values().copied().for_each(walk);
        for (name, _) in header.shapes() {
            let _ = header.tensor(name);
        }
    }
    built(read_gguf(bytes, path(), &Device::Cpu), Loading::Inference);
}

/// The header of a safetensors file and what is behind it.
fn parts(bytes: &[u8]) -> (Value, &[u8]) {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    (header, &bytes[8 + length..])
}

fn with_header(header: &Value, data: &[u8]) -> Vec<u8> {
    let json = header.to_string();
    [&(json.len() as u64).to_le_bytes(), json.as_bytes(), data].concat()
}

/// Puts other numbers into a JSON value, at places that are drawn.
fn renumbered(value: &mut Value, places: &[(Index, u64)]) {
    fn numbers(value: &mut Value) -> Vec<&mut Value> {
        match value {
            Value::Number(_) => vec![value],
            Value::Array(values) => values.iter_mut().flat_map(numbers).collect(),
            Value::Object(map) => map.values_mut().flat_map(numbers).collect(),
            _ => Vec::new(),
        }
    }
    let mut all = numbers(value);
    for (place, number) in places {
        let at = place.index(all.len());
        *all[at] = (*number).into();
    }
}

#[test]
fn any_bytes_of_safetensors() {
    if limited("any_bytes_of_safetensors", MEBIBYTES) {
        let head = SAFETENSORS.len() - parts(&SAFETENSORS).1.len();
        try_all(&changes(), |(anywhere, changes)| {
            read_safetensors(&changed(&SAFETENSORS, head, anywhere, &changes));
            Ok(())
        });
        try_all(&prop::collection::vec(any::<u8>(), 0..100), |bytes| {
            read_safetensors(&bytes);
            read_safetensors(&[&(bytes.len() as u64).to_le_bytes(), bytes.as_slice()].concat());
            Ok(())
        });
    }
}

#[test]
fn any_numbers_in_a_safetensors_header() {
    if limited("any_numbers_in_a_safetensors_header", MEBIBYTES) {
        let (header, data) = parts(&SAFETENSORS);
        let dtypes = [
            "F32", "F16", "BF16", "F64", "I64", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F4", "C64",
        ];
        let places = prop::collection::vec((any::<Index>(), number()), 1..4);
        let dtype = prop::option::of((any::<Index>(), select(dtypes.to_vec())));
        try_all(&(places, dtype), |(places, dtype)| {
            let mut header = header.clone();
            renumbered(&mut header, &places);
            if let Some((at, dtype)) = dtype {
                let tensors = header.as_object_mut().unwrap();
                let at = at.index(tensors.len());
                tensors.values_mut().nth(at).unwrap()["dtype"] = dtype.into();
            }
            read_safetensors(&with_header(&header, data));
            Ok(())
        });
    }
}

#[test]
fn any_numbers_in_a_description() {
    if limited("any_numbers_in_a_description", MEBIBYTES) {
        let (mut header, data) = parts(&SAFETENSORS);
        let plain: Value = serde_json::from_str(header["__metadata__"]["drdiff"].as_str().unwrap()).unwrap();
        let places = prop::collection::vec((any::<Index>(), number()), 1..4);
        let try_with = |header: &mut Value, places: &[(Index, u64)]| {
            let mut metadata = plain.clone();
            renumbered(&mut metadata, places);
            header["__metadata__"]["drdiff"] = metadata.to_string().into();
            with_header(header, data)
        };
        let header = std::cell::RefCell::new(&mut header);
        try_all(&places, |places| {
            read_safetensors(&try_with(&mut header.borrow_mut(), &places));
            Ok(())
        });
    }
}

#[test]
fn any_bytes_of_gguf() {
    if limited("any_bytes_of_gguf", MEBIBYTES) {
        read_all_of_gguf(&GGUF);
        let start = GGUF.windows(6).rposition(|bytes| bytes == b"blocks").unwrap() + 100;
        try_all(&changes(), |(anywhere, changes)| {
            read_all_of_gguf(&changed(&GGUF, start, anywhere, &changes));
            Ok(())
        });
        let head = (1_u32..4, prop::collection::vec(any::<u8>(), 0..200));
        try_all(&head, |(version, bytes)| {
            read_all_of_gguf(&[b"GGUF".as_slice(), &version.to_le_bytes(), &bytes].concat());
            Ok(())
        });
    }
}

/// A head from drawn parts: one entry, one tensor.
#[test]
fn any_small_gguf() {
    if limited("any_small_gguf", MEBIBYTES) {
        let count = || prop_oneof![3 => Just(1_u64), 1 => number()];
        let tensor = (count(), prop::collection::vec(number(), 0..6), 0_u32..45, number());
        let entry = (
            count(),
            select(vec!["general.alignment", "x"]),
            0_u32..15,
            prop::collection::vec(number(), 0..6),
        );
        try_all(&(1_u32..4, tensor, entry), |(version, tensor, entry)| {
            let ((tensors, dims, kind, offset), (entries, key, value, numbers)) = (tensor, entry);
            let length = |number: u64| match version {
                1 => (number as u32).to_le_bytes().to_vec(),
                _ => number.to_le_bytes().to_vec(),
            };
            let text = |text: &str| [length(text.len() as u64), text.as_bytes().to_vec()].concat();
            let mut bytes = [
                b"GGUF".to_vec(),
                version.to_le_bytes().to_vec(),
                length(tensors),
                length(entries),
            ]
            .concat();
            bytes.extend([text(key), value.to_le_bytes().to_vec()].concat());
            bytes.extend(numbers.iter().flat_map(|number| length(*number)));
            bytes.extend([text("t"), (dims.len() as u32).to_le_bytes().to_vec()].concat());
            bytes.extend(dims.iter().flat_map(|dim| length(*dim)));
            bytes.extend([kind.to_le_bytes().to_vec(), offset.to_le_bytes().to_vec()].concat());
            bytes.resize(bytes.len() + 1000, 0);
            read_all_of_gguf(&bytes);
            Ok(())
        });
    }
}

/// A byte-level BPE with one merge.
fn tokenizer() -> Value {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let others = (0..=u8::MAX)
        .filter(|byte| !printable(*byte))
        .zip('\u{100}'..)
        .map(|(_, c)| c);
    let bytes = (0..=u8::MAX)
        .filter(|byte| printable(*byte))
        .map(char::from)
        .chain(others);
    let words = bytes.map(String::from).chain(["th".to_owned()]);
    let vocab: serde_json::Map<String, Value> = words.zip(0..).map(|(word, id)| (word, json!(id))).collect();
    let level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true });
    let end = json!({
        "id": 257, "content": "<|end|>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true,
    });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [end], "normalizer": null, "pre_tokenizer": level,
        "post_processor": null, "decoder": level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": ["t h"],
        },
    })
}

/// A JSON value of any shape, with names that mean something here.
fn any_json() -> impl Strategy<Value = Value> {
    let words = [
        "type",
        "BPE",
        "ByteLevel",
        "Sequence",
        "Split",
        "Regex",
        "(a+)+",
        "##",
        "t h",
        "",
        "th",
        "<|end|>",
        "é",
        "WordPiece",
        "max_length",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(words.to_vec()).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(select(words.to_vec()), inner, 0..4)
                .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

#[test]
fn any_tokenizer() {
    if limited("any_tokenizer", MEBIBYTES) {
        let plain = tokenizer();
        Tokenizer::from_bytes(plain.to_string().as_bytes()).unwrap();
        let places = [
            "/truncation",
            "/padding",
            "/added_tokens",
            "/added_tokens/0/id",
            "/added_tokens/0/content",
            "/added_tokens/0/lstrip",
            "/added_tokens/0/special",
            "/added_tokens/0/single_word",
            "/normalizer",
            "/pre_tokenizer",
            "/pre_tokenizer/type",
            "/pre_tokenizer/use_regex",
            "/post_processor",
            "/decoder",
            "/model",
            "/model/type",
            "/model/dropout",
            "/model/unk_token",
            "/model/continuing_subword_prefix",
            "/model/end_of_word_suffix",
            "/model/byte_fallback",
            "/model/fuse_unk",
            "/model/vocab",
            "/model/vocab/a",
            "/model/vocab/th",
            "/model/merges",
            "/model/merges/0",
        ];
        let changes = prop::collection::vec((select(places.to_vec()), any_json()), 1..4);
        try_all(&changes, |changes| {
            let mut file = plain.clone();
            for (place, value) in changes {
                if let Some(found) = file.pointer_mut(place) {
                    *found = value;
                }
            }
            if let Ok(tokenizer) = Tokenizer::from_bytes(file.to_string().as_bytes()) {
                let _ = tokenizer.encode("the other é <|end|>");
            }
            Ok(())
        });
        let bytes = plain.to_string().into_bytes();
        try_all(&changes_of_text(), |(anywhere, changes)| {
            let _ = Tokenizer::from_bytes(&changed(&bytes, 600, anywhere, &changes));
            Ok(())
        });
    }
}

fn changes_of_text() -> impl Strategy<Value = (bool, Vec<Change>)> {
    (any::<bool>(), prop::collection::vec(change(), 1..3))
}

#[test]
fn what_is_whole_is_read() {
    let file = TensorFile::read(&SAFETENSORS).unwrap();
    let names: Vec<&str> = file.shapes().map(|(name, _)| name).collect();
    assert!(names.contains(&"embedding"));
    assert!(read_gguf(&GGUF, path(), &Device::Cpu).is_ok());
    build(
        read_checkpoint(&SAFETENSORS, path(), &Device::Cpu).unwrap(),
        &Device::Cpu,
        Loading::Inference,
    )
    .unwrap();
}
