//! A judge in a folder of Hugging Face, against what `transformers` (5.24, PyTorch 2.15, f64) says of the same weights.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use drdiff_evaluation::judge::LlamaJudge;
use drdiff_evaluation::sweep::Judge;
use serde_json::{Value, json};

/// Shapes by name; sorted names number the tensors.
fn shapes(head_dim: usize, tied: bool) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = BTreeMap::from([
        ("model.embed_tokens.weight".to_owned(), vec![9, 16]),
        ("model.norm.weight".to_owned(), vec![16]),
    ]);
    if !tied {
        shapes.insert("lm_head.weight".to_owned(), vec![9, 16]);
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
    let head_dim = if tied { 4 } else { 6 };
    let mut shards = [HashMap::new(), HashMap::new()];
    for (k, (name, shape)) in shapes(head_dim, tied).iter().enumerate() {
        shards[k % 2].insert(name.clone(), tensor(name, shape, k));
    }
    for (k, shard) in shards.iter().enumerate() {
        let path = folder.join(format!("model-0000{}-of-00002.safetensors", k + 1));
        candle_core::safetensors::save(shard, path).unwrap();
    }
    let mut vocab = BTreeMap::from([("<|endoftext|>".to_owned(), 0)]);
    vocab.extend(('a'..='h').zip(1..).map(|(letter, id)| (letter.to_string(), id)));
    let words = json!({
        "version": "1.0", "added_tokens": [], "pre_tokenizer": null, "decoder": null,
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    std::fs::write(folder.join("tokenizer.json"), words.to_string()).unwrap();
}

#[test]
fn a_folder_says_what_transformers_says() {
    for (tied, nats) in [(false, 15.137_248_634_965_71), (true, 19.746_280_230_772_01)] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &config(tied), tied);
        let read = LlamaJudge::open(folder.path(), &Device::Cpu)
            .unwrap()
            .read("gh", "badcafe")
            .unwrap();
        assert_eq!(read.tokens, 7);
        drdiff_testkit::assert_close("nats", &[read.nats], &[nats]);
    }
}

#[test]
fn networks_that_would_be_read_wrongly_are_refused() {
    let change = |key: &str, value: Value| {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(true);
        config[key] = value;
        write(folder.path(), &config, true);
        LlamaJudge::open(folder.path(), &Device::Cpu).err().unwrap().to_string()
    };
    assert!(change("model_type", json!("gemma")).contains("of the type `gemma`"));
    assert!(change("rope_scaling", json!({"type": "linear", "factor": 2.0})).contains("stretched by `linear`"));
    assert!(change("attention_bias", json!(true)).contains("biases"));
    assert!(change("num_hidden_layers", json!(3)).contains("AttentionNorm(2)"));

    assert!(change("rope_scaling", json!({"factor": 8.0})).contains("stretched by `factor`"));
    assert!(change("sliding_window", json!(64)).contains("`sliding_window`"));
    assert!(change("final_logit_softcapping", json!(30.0)).contains("`final_logit_softcapping`"));
    assert!(change("num_attention_heads", json!(0)).contains("0 query heads"));
    assert!(change("num_hidden_layers", json!(1)).contains("`model.layers.1."));
    assert!(change("num_hidden_layers", json!(1_u64 << 60)).contains("layers"));
    assert!(change("hidden_size", json!(1_u64 << 60)).contains("shape"));

    let with = |name: &str, tensor: Tensor| {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &config(true), true);
        let more = HashMap::from([(name.to_owned(), tensor)]);
        candle_core::safetensors::save(&more, folder.path().join("more.safetensors")).unwrap();
        LlamaJudge::open(folder.path(), &Device::Cpu).err().unwrap().to_string()
    };
    let ones = Tensor::ones(16, DType::F32, &Device::Cpu).unwrap();
    assert!(with("model.layers.0.self_attn.q_proj.bias", ones.clone()).contains("biases, `model.layers.0"));
    assert!(with("model.layers.0.self_attn.q_norm.weight", ones.clone()).contains("a norm"));
    assert!(with("model.norm.weight", ones.clone()).contains("in another file too"));
    let whole = ones.to_dtype(DType::U8).unwrap();
    let told = with("model.layers.0.mlp.gate_proj.qweight", whole);
    assert!(
        told.contains("more.safetensors") && told.contains("qweight") && told.contains("U8"),
        "{told}"
    );

    let folder = tempfile::tempdir().unwrap();
    let told = || LlamaJudge::open(folder.path(), &Device::Cpu).err().unwrap().to_string();
    assert!(told().contains("config.json"), "{}", told());
    write(folder.path(), &config(true), true);
    std::fs::write(folder.path().join("model-00001-of-00002.safetensors"), b"torn").unwrap();
    assert!(told().contains("cannot be a judge"), "{}", told());
}
