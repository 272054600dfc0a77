//! A judge in a folder of Hugging Face, against what `transformers` (5.24, PyTorch 2.15, f64) says of the same weights.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use drdiff_evaluation::Judge;
use drdiff_evaluation::judge::NetworkJudge;
use drdiff_model::{Network, Precision, build_scorer, import_folder, next_token_nats};
use serde_json::{Value, json};

/// Shapes by name; sorted names number the tensors.
fn shapes(vocab: usize, head_dim: usize, tied: bool) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = BTreeMap::from([
        ("model.embed_tokens.weight".to_owned(), vec![vocab, 16]),
        ("model.norm.weight".to_owned(), vec![16]),
    ]);
    if !tied {
        shapes.insert("lm_head.weight".to_owned(), vec![vocab, 16]);
    }
    for layer in 0..2 {
        for (name, shape) in [
            ("input_layernorm", vec![16]),
            ("post_attention_layernorm", vec![16]),
            ("self_attn.q_proj", vec![4 * head_dim, 16]),
            ("self_attn.k_proj", vec![2 * head_dim, 16]),
            ("self_attn.v_proj", vec![2 * head_dim, 16]),
            ("self_attn.o_proj", vec![16, 4 * head_dim]),
            ("mlp.gate_proj", vec![24, 16]),
            ("mlp.up_proj", vec![24, 16]),
            ("mlp.down_proj", vec![16, 24]),
        ] {
            shapes.insert(format!("model.layers.{layer}.{name}.weight"), shape);
        }
    }
    shapes
}

/// Number `i` of tensor `k` is `0.5 sin(0.7 i + k)`; gains are near 1.
fn tensor(name: &str, shape: &[usize], k: usize) -> Tensor {
    let value = |i: usize| {
        let wave = (0.7 * i as f64 + k as f64).sin();
        match name.contains("norm") {
            true => (1.0 + 0.1 * wave) as f32,
            false => (0.5 * wave) as f32,
        }
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(value).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn config(tied: bool) -> Value {
    let mut config = json!({
        "model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "vocab_size": 9,
        "hidden_act": "silu", "tie_word_embeddings": tied,
    });
    match tied {
        true => config["rope_theta"] = json!(10_000.0),
        false => {
            config["head_dim"] = json!(6);
            config["rope_parameters"] = json!({"rope_type": "default", "rope_theta": 100.0});
        }
    }
    config
}

fn write(folder: &Path, config: &Value, tied: bool) {
    let (vocab, head_dim) = (
        config["vocab_size"].as_u64().unwrap() as usize,
        if tied { 4 } else { 6 },
    );
    let mut shards = [HashMap::new(), HashMap::new()];
    for (k, (name, shape)) in shapes(vocab, head_dim, tied).iter().enumerate() {
        shards[k % 2].insert(name.clone(), tensor(name, shape, k));
    }
    for (k, shard) in shards.iter().enumerate() {
        let path = folder.join(format!("model-0000{}-of-00002.safetensors", k + 1));
        candle_core::safetensors::save(shard, path).unwrap();
    }
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    std::fs::write(folder.join("tokenizer.json"), words().to_string()).unwrap();
}

/// A vocabulary of the bytes and the end of a text.
fn words() -> Value {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let others = (0..=u8::MAX).filter(|byte| !printable(*byte)).zip('\u{100}'..);
    let bytes = (0..=u8::MAX).filter(|byte| printable(*byte)).map(char::from);
    let spelled = bytes.chain(others.map(|(_, c)| c)).zip(1..);
    let mut vocab: BTreeMap<String, u32> = spelled.map(|(c, id)| (c.to_string(), id)).collect();
    vocab.insert("<|endoftext|>".to_owned(), 0);
    let end = json!({"id": 0, "content": "<|endoftext|>", "special": true, "normalized": false, "single_word": false, "lstrip": false, "rstrip": false});
    json!({
        "version": "1.0", "added_tokens": [end], "decoder": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    })
}

fn network(folder: &Path) -> Network {
    let imported = import_folder(folder, Precision::F32).unwrap();
    build_scorer(&imported.config, imported.tensors, &Device::Cpu).unwrap()
}

#[test]
fn a_folder_says_what_transformers_says() {
    for (tied, nats) in [(false, 15.137_248_634_965_71), (true, 19.746_280_230_772_01)] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &config(tied), tied);
        let found = next_token_nats(&network(folder.path()), &[0, 7, 8, 2, 1, 4, 3, 1, 6, 5], 3).unwrap();
        assert_eq!(found.len(), 7);
        drdiff_testkit::assert_close("nats", &[found.iter().sum()], &[nats]);
    }
}

#[test]
fn a_judge_says_what_its_network_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(true);
    config["vocab_size"] = json!(257);
    write(folder.path(), &config, true);
    let mut judge = NetworkJudge::open(folder.path(), &Device::Cpu).unwrap();
    let read = judge.read("gh", "bad cafe").unwrap();
    assert_eq!(read.tokens, 8);
    let ids = [vec![0], judge.encode("gh").unwrap(), judge.encode("bad cafe").unwrap()].concat();
    let nats = next_token_nats(&network(folder.path()), &ids, 3).unwrap();
    assert_eq!(read.nats, nats.iter().sum::<f64>());
}

#[test]
fn networks_that_would_be_read_wrongly_are_refused() {
    let change = |key: &str, value: Value| {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(true);
        config["vocab_size"] = json!(257);
        config[key] = value;
        write(folder.path(), &config, true);
        NetworkJudge::open(folder.path(), &Device::Cpu)
            .err()
            .unwrap()
            .to_string()
    };
    assert!(change("model_type", json!("gemma")).contains("architecture is `gemma`"));
    assert!(change("rope_scaling", json!({"type": "linear", "factor": 2.0})).contains("stretched by `linear`"));
    assert!(change("attention_bias", json!(true)).contains("biases"));
    assert!(change("num_hidden_layers", json!(3)).contains("`model.layers.2.input_layernorm.weight` is missing"));

    assert!(change("rope_scaling", json!({"factor": 8.0})).contains("stretched by `factor`"));
    assert!(change("sliding_window", json!(64)).contains("`sliding_window`"));
    assert!(change("final_logit_softcapping", json!(30.0)).contains("`final_logit_softcapping`"));
    assert!(change("num_attention_heads", json!(0)).contains("no heads"));
    assert!(change("num_hidden_layers", json!(1)).contains("`model.layers.1."));
    assert!(change("num_hidden_layers", json!(1_u64 << 60)).contains("layers"));
    assert!(change("hidden_size", json!(1_u64 << 60)).contains("`width`"));

    let with = |name: &str, tensor: Tensor| {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &config(true), true);
        let more = HashMap::from([(name.to_owned(), tensor)]);
        candle_core::safetensors::save(&more, folder.path().join("more.safetensors")).unwrap();
        NetworkJudge::open(folder.path(), &Device::Cpu)
            .err()
            .unwrap()
            .to_string()
    };
    let ones = Tensor::ones(16, DType::F32, &Device::Cpu).unwrap();
    assert!(
        with("model.layers.0.self_attn.q_proj.bias", ones.clone()).contains("`model.layers.0.self_attn.q_proj.bias`")
    );
    assert!(with("model.layers.0.self_attn.q_norm.weight", ones.clone()).contains("q_norm"));
    assert!(with("model.norm.weight", ones.clone()).contains("in two files"));
    let whole = ones.to_dtype(DType::U8).unwrap();
    let told = with("model.layers.0.mlp.gate_proj.qweight", whole);
    assert!(told.contains("`model.layers.0.mlp.gate_proj.qweight`"), "{told}");

    let folder = tempfile::tempdir().unwrap();
    let told = || {
        NetworkJudge::open(folder.path(), &Device::Cpu)
            .err()
            .unwrap()
            .to_string()
    };
    assert!(told().contains("config.json"), "{}", told());
    write(folder.path(), &config(true), true);
    std::fs::write(folder.path().join("model-00001-of-00002.safetensors"), b"torn").unwrap();
    assert!(told().contains("cannot be a judge"), "{}", told());
}
