//! Language models of others, at the commands that read models.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use drdiff_testkit::{Inputs, tensor};
use serde_json::json;

use crate::fixture::{RunExt, documents, drdiff, small_model};

/// A tiny Llama of random weights with bytes as tokens.
fn llama(folder: &Path) {
    let [vocab, width, hidden] = [257, 32, 48];
    fs::create_dir(folder).unwrap();
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "vocab_size": vocab, "hidden_size": width,
        "intermediate_size": hidden, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut tensors = HashMap::new();
    let mut matrix = |name: &str, rows: usize, columns: usize| {
        let numbers = Inputs::new((rows + 7 * columns + tensors.len()) as u64).numbers(rows * columns);
        let matrix = tensor(&numbers, &[rows, columns])
            .unwrap()
            .to_dtype(DType::F32)
            .unwrap();
        tensors.insert(format!("model.{name}.weight"), (matrix * 0.3).unwrap());
    };
    matrix("embed_tokens", vocab, width);
    for layer in ["layers.0", "layers.1"] {
        for (name, rows, columns) in [
            ("self_attn.q_proj", width, width),
            ("self_attn.k_proj", width / 2, width),
            ("self_attn.v_proj", width / 2, width),
            ("self_attn.o_proj", width, width),
            ("mlp.gate_proj", hidden, width),
            ("mlp.up_proj", hidden, width),
            ("mlp.down_proj", width, hidden),
        ] {
            matrix(&format!("{layer}.{name}"), rows, columns);
        }
    }
    let norms = ["norm", "layers.0.input_layernorm", "layers.0.post_attention_layernorm"];
    for name in norms
        .into_iter()
        .chain(["layers.1.input_layernorm", "layers.1.post_attention_layernorm"])
    {
        let ones = Tensor::ones(width, DType::F32, &Device::Cpu).unwrap();
        tensors.insert(format!("model.{name}.weight"), ones);
    }
    candle_core::safetensors::save(&tensors, folder.join("model.safetensors")).unwrap();
    fs::copy(small_model().join("tokenizer.json"), folder.join("tokenizer.json")).unwrap();
}

#[test]
fn they_are_inspected_measured_and_exported() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("llama");
    llama(&model);
    let shown = drdiff().arg("inspect").arg(&model).run().succeeds();
    assert!(shown.starts_with("language model"), "{shown}");
    assert!(!shown.contains("tokens seen"), "{shown}");

    let held_out = dir.path().join("held-out.jsonl");
    fs::write(&held_out, documents(0..4)).unwrap();
    let measured = |model: &Path| {
        let mut eval = drdiff();
        eval.args(["eval", "--window", "32", "--windows", "4", "--json", "--text"])
            .arg(&held_out);
        eval.arg("--model").arg(model).run().json()["bounds"].clone()
    };
    let bounds = measured(&model);
    assert_eq!(bounds.as_array().unwrap().len(), 1, "{bounds}");
    assert_eq!(bounds[0]["block_size"], 1);

    // Its matrices are too small to be rounded, so the export is the same network.
    let own = dir.path().join("own");
    fs::create_dir(&own).unwrap();
    let mut export = drdiff();
    export
        .args(["export", "--with-tokenizer"])
        .arg(&model)
        .arg("-o")
        .arg(own.join("model.gguf"));
    export.run().succeeds();
    assert_eq!(measured(&own), bounds);
    let text = |model: &Path| {
        let mut generate = drdiff();
        generate
            .args(["generate", "The old", "--tokens", "12", "--model"])
            .arg(model);
        generate.run().succeeds()
    };
    assert_eq!(text(&own), text(&model));
}
