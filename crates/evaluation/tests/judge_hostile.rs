//! Judges in GGUF that would be read wrongly are refused by name, and bytes of any kind are read or refused.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use drdiff_evaluation::Judge;
use drdiff_evaluation::judge::NetworkJudge;
use drdiff_testkit::{cases, limited};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

/// Width, heads, numbers of a head, hidden width, tokens.
const SIZES: [u64; 5] = [16, 2, 8, 32, 257];

/// The parts of a GGUF file: entries with the bytes of their type and value, tensors with their dimensions and numbers.
#[derive(Clone)]
struct File {
    entries: BTreeMap<String, Vec<u8>>,
    tensors: BTreeMap<String, (Vec<u64>, Vec<f32>)>,
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn entry(kind: u32, value: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes(), value].concat()
}

fn whole(number: u32) -> Vec<u8> {
    entry(4, &number.to_le_bytes())
}

fn float(number: f32) -> Vec<u8> {
    entry(6, &number.to_le_bytes())
}

fn words<'a>(words: impl ExactSizeIterator<Item = &'a str>) -> Vec<u8> {
    let mut value = [&8_u32.to_le_bytes()[..], &(words.len() as u64).to_le_bytes()].concat();
    value.extend(words.flat_map(text));
    entry(9, &value)
}

/// A judge of one layer whose vocabulary are the bytes.
fn plain() -> File {
    let [width, heads, head, hidden, tokens] = SIZES;
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let others = (0..=u8::MAX).filter(|byte| !printable(*byte)).zip('\u{100}'..);
    let bytes = (0..=u8::MAX).filter(|byte| printable(*byte)).map(char::from);
    let mut vocabulary: Vec<String> = bytes.chain(others.map(|(_, c)| c)).map(String::from).collect();
    vocabulary.push("<|endoftext|>".to_owned());
    let entries = [
        ("general.architecture", entry(8, &text("llama"))),
        ("llama.block_count", whole(1)),
        ("llama.embedding_length", whole(width as u32)),
        ("llama.attention.head_count", whole(heads as u32)),
        ("llama.attention.head_count_kv", whole(1)),
        ("llama.rope.freq_base", float(1e4)),
        ("tokenizer.ggml.model", entry(8, &text("gpt2"))),
        ("tokenizer.ggml.pre", entry(8, &text("gpt-2"))),
        ("tokenizer.ggml.tokens", words(vocabulary.iter().map(String::as_str))),
        ("tokenizer.ggml.merges", words([].into_iter())),
    ];
    let tensors = [
        ("token_embd", vec![width, tokens]),
        ("output_norm", vec![width]),
        ("blk.0.attn_norm", vec![width]),
        ("blk.0.attn_q", vec![width, heads * head]),
        ("blk.0.attn_k", vec![width, head]),
        ("blk.0.attn_v", vec![width, head]),
        ("blk.0.attn_output", vec![heads * head, width]),
        ("blk.0.ffn_norm", vec![width]),
        ("blk.0.ffn_gate", vec![width, hidden]),
        ("blk.0.ffn_up", vec![width, hidden]),
        ("blk.0.ffn_down", vec![hidden, width]),
    ];
    let numbers = |dims: &[u64]| {
        (0..dims.iter().product::<u64>())
            .map(|i| (0.7 * i as f32).sin() * 0.5)
            .collect()
    };
    File {
        entries: entries.map(|(key, value)| (key.to_owned(), value)).into(),
        tensors: tensors
            .map(|(name, dims)| (format!("{name}.weight"), (dims.clone(), numbers(&dims))))
            .into(),
    }
}

impl File {
    fn set(mut self, key: &str, value: Vec<u8>) -> Self {
        self.entries.insert(key.to_owned(), value);
        self
    }

    fn without(mut self, key: &str) -> Self {
        self.entries.remove(key);
        self
    }

    fn with(mut self, name: &str, numbers: &[f32]) -> Self {
        self.tensors
            .insert(name.to_owned(), (vec![numbers.len() as u64], numbers.to_vec()));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = b"GGUF\x03\0\0\0".to_vec();
        head.extend((self.tensors.len() as u64).to_le_bytes());
        head.extend((self.entries.len() as u64).to_le_bytes());
        for (key, value) in &self.entries {
            head.extend([text(key), value.clone()].concat());
        }
        let mut data = Vec::new();
        for (name, (dims, numbers)) in &self.tensors {
            head.extend([text(name), (dims.len() as u32).to_le_bytes().to_vec()].concat());
            head.extend(dims.iter().flat_map(|dim| dim.to_le_bytes()));
            head.extend([&0_u32.to_le_bytes()[..], &(data.len() as u64).to_le_bytes()].concat());
            data.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            data.resize(data.len().next_multiple_of(32), 0);
        }
        head.resize(head.len().next_multiple_of(32), 0);
        [head, data].concat()
    }
}

fn open(path: &Path, bytes: &[u8]) -> Result<f64, String> {
    std::fs::write(path, bytes).unwrap();
    let mut judge = NetworkJudge::open(path, &Device::Cpu).map_err(|e| e.to_string())?;
    Ok(judge.read("Once", " upon a time").map_err(|e| e.to_string())?.nats)
}

#[test]
fn what_would_change_the_network_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judge.gguf");
    let nats = open(&path, &plain().bytes()).unwrap();
    let same = |file: File| assert_eq!(open(&path, &file.bytes()), Ok(nats));
    // What leaves the network as it is.
    same(
        plain()
            .set("llama.context_length", whole(8192))
            .set("llama.vocab_size", whole(257)),
    );
    same(plain().set("llama.rope.scaling.type", entry(8, &text("none"))));
    same(
        plain()
            .set("llama.rope.dimension_count", whole(8))
            .set("llama.expert_count", whole(0)),
    );
    same(
        plain()
            .set("llama.feed_forward_length", whole(32))
            .set("general.name", whole(1)),
    );

    let told = |file: File| open(&path, &file.bytes()).unwrap_err();
    let names = |file: File, name: &str| {
        let told = told(file);
        assert!(
            told.contains("cannot be a judge") && told.contains(name),
            "{name}: {told}"
        );
    };
    for (key, value) in [
        ("llama.rope.scaling.type", entry(8, &text("yarn"))),
        ("llama.rope.dimension_count", whole(4)),
        ("llama.attention.value_length", whole(4)),
        ("llama.attention.sliding_window", whole(4096)),
        ("llama.attn_logit_softcapping", float(50.0)),
        ("llama.final_logit_softcapping", float(30.0)),
        ("llama.expert_count", whole(8)),
        ("llama.logit_scale", float(16.0)),
        ("llama.attention.causal", entry(7, &[0])),
        ("llama.attention.layer_norm_epsilon", float(1e-5)),
        ("llama.something_new", whole(1)),
    ] {
        names(plain().set(key, value), key);
    }
    // Stretched positions are followed where texts are written, and are no judge's.
    let factor = || plain().set("llama.rope.scaling.factor", float(8.0));
    names(factor(), "`linear`");
    names(
        factor().set("llama.rope.scaling.type", entry(8, &text("linear"))),
        "`linear`",
    );
    names(plain().set("llama.rope.scale_linear", float(2.0)), "`linear`");
    names(
        plain().set("llama.rope.scaling.type", entry(8, &text("linear"))),
        "does not name",
    );
    names(plain().with("rope_freqs.weight", &[2.0; 4]), "`rope_freqs.weight`");
    names(plain().set("general.architecture", entry(8, &text("mamba"))), "`mamba`");
    names(
        plain().set("tokenizer.ggml.pre", entry(8, &text("default"))),
        "`default`",
    );
    names(plain().set("tokenizer.ggml.model", entry(8, &text("t5"))), "`t5`");
    names(plain().without("tokenizer.ggml.pre"), "tokenizer.ggml.pre");
    names(plain().set("split.count", entry(2, &[3, 0])), "3 parts");
    for name in [
        "blk.0.attn_q.bias",
        "blk.0.attn_q_norm.weight",
        "blk.0.ffn_gate_inp.weight",
        "blk.1.attn_q.weight",
    ] {
        names(plain().with(name, &[2.0; 4]), name);
    }

    for (key, number) in [
        ("llama.attention.head_count", 0),
        ("llama.attention.head_count_kv", 0),
        ("llama.attention.head_count", 3),
        ("llama.attention.head_count", 4),
        ("llama.attention.key_length", 0),
        ("llama.attention.key_length", 7),
        ("llama.attention.key_length", u32::MAX),
        ("llama.embedding_length", 0),
        ("llama.embedding_length", u32::MAX),
        ("llama.block_count", 0),
        ("llama.block_count", u32::MAX),
        ("llama.feed_forward_length", 31),
        ("llama.vocab_size", 258),
    ] {
        names(plain().set(key, whole(number)), "judge.gguf");
    }
    names(
        plain().set("llama.attention.head_count", words(["2"].into_iter())),
        "head_count",
    );
    names(plain().set("llama.rope.freq_base", float(f32::NAN)), "rope_base");
    names(plain().with("output_norm.weight", &[f32::NAN; 16]), "not finite");
    names(plain().with("output_norm.weight", &[1.0; 15]), "is [15]");
    let more = ["a"; 300];
    names(
        plain().set("tokenizer.ggml.tokens", words(more.into_iter())),
        "judge.gguf",
    );
    names(
        plain().set("tokenizer.ggml.merges", words(["Ġ nothing"].into_iter())),
        "merge",
    );
}

#[test]
fn any_bytes_of_a_judge() {
    if !limited("any_bytes_of_a_judge", 1024) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judge.gguf");
    let bytes = plain().bytes();
    let head = bytes.len()
        - plain()
            .tensors
            .values()
            .map(|(_, numbers)| numbers.len() * 4)
            .sum::<usize>();
    let number = prop_oneof![0_u64..40, (0_u32..64).prop_map(|power| 1_u64 << power), any::<u64>()];
    let change = (any::<Index>(), number, 1_usize..9);
    let config = ProptestConfig {
        cases: cases(10_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let all = (
        prop::collection::vec(change, 1..4),
        prop::option::weighted(0.1, any::<Index>()),
    );
    TestRunner::new(config)
        .run(&all, |(changes, cut)| {
            let mut bytes = bytes.clone();
            for (at, number, width) in changes {
                let at = at.index(head);
                let end = (at + width.min(8)).min(bytes.len());
                bytes[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let _ = open(&path, &bytes);
            Ok(())
        })
        .unwrap();
}
