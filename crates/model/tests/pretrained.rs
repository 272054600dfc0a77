//! Language models of others compute what transformers computes of them. `pretrained/make.py` made the files.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use drdiff_attention::{Segment, block_causal};
use drdiff_kernels::{TilePlan, Value};
use drdiff_model::{Imported, Input, Loading, Network, Precision, build_network, import_folder, next_token_nats};
use drdiff_testkit::{assert_close, values};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    ids: Vec<u32>,
    rows: Vec<usize>,
    logits: Vec<Vec<f64>>,
    greedy: Vec<u32>,
}

const MODELS: [&str; 5] = ["llama", "llama-linear", "qwen2", "qwen3", "gemma3"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/pretrained")
        .join(name)
}

fn golden(name: &str) -> Golden {
    serde_json::from_slice(&std::fs::read(folder(name).join("golden.json")).unwrap()).unwrap()
}

fn network(Imported { config, tensors }: Imported) -> Network {
    build_network(&config, tensors, &Device::Cpu, Loading::Inference)
        .unwrap()
        .0
}

/// Logits of all rows of a text that is read at once.
fn logits(network: &Network, ids: &[u32]) -> Tensor {
    let config = network.config();
    let positions = (0..ids.len() as i64).collect();
    let rotary = config.rotary(&[positions], &Device::Cpu).unwrap();
    let segment = Segment {
        batch: 1,
        len: ids.len(),
        plan: config.causal_plans(ids.len(), &Device::Cpu).unwrap(),
        units: None,
        rotary: &rotary,
        past: None,
    };
    let input = Input::discrete(Tensor::from_slice(ids, ids.len(), &Device::Cpu).unwrap());
    let tables = network.tables(None).unwrap();
    let hidden = network.hidden(&tables, &input, &mut [segment], &mut Default::default());
    let evidence: Value = network.evidence(&hidden.unwrap()).unwrap();
    network.logits(evidence.tensor()).unwrap()
}

#[test]
fn logits_are_those_of_transformers() {
    for name in MODELS {
        let Golden {
            ids,
            rows,
            logits: wanted,
            ..
        } = golden(name);
        let network = network(import_folder(&folder(name), Precision::Stored).unwrap());
        let all = values(&logits(&network, &ids)).unwrap();
        let vocab = network.config().vocab;
        for (row, wanted) in rows.iter().zip(wanted) {
            assert_close(&format!("{name}, row {row}"), &all[row * vocab..][..vocab], &wanted);
        }
    }
}

#[test]
fn a_text_costs_what_the_logits_say() {
    for name in MODELS {
        let Golden { ids, .. } = golden(name);
        let network = network(import_folder(&folder(name), Precision::Stored).unwrap());
        let vocab = network.config().vocab;
        let all = values(&logits(&network, &ids)).unwrap();
        let nats = |at: usize| {
            let row = &all[(at - 1) * vocab..][..vocab];
            row.iter().map(|logit| logit.exp()).sum::<f64>().ln() - row[ids[at] as usize]
        };
        let wanted: Vec<f64> = (10..ids.len()).map(nats).collect();
        assert_close(name, &next_token_nats(&network, &ids, 10).unwrap(), &wanted);
        assert!(next_token_nats(&network, &ids, 0).is_err());
    }
}

#[test]
fn the_likeliest_tokens_are_those_of_transformers() {
    for name in MODELS {
        let Golden { ids, greedy, .. } = golden(name);
        let network = network(import_folder(&folder(name), Precision::Stored).unwrap());
        let mut text = ids[..12].to_vec();
        for _ in 0..greedy.len() {
            let last = logits(&network, &text).get(text.len() - 1).unwrap();
            text.push(last.argmax(0).unwrap().to_scalar().unwrap());
        }
        assert_eq!(text[12..], greedy, "{name}");
    }
}

/// A folder with another `config.json` or without some files, and what is said of it.
fn refusal(name: &str, change: impl FnOnce(&mut serde_json::Value), gone: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder(name)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    let path = dir.path().join("config.json");
    let mut config = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(&path, config.to_string()).unwrap();
    for name in gone {
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    import_folder(dir.path(), Precision::Stored).unwrap_err()
}

#[test]
fn what_would_be_read_wrongly_is_refused_by_name() {
    type Change = fn(&mut serde_json::Value);
    let cases: [(Change, &str); 10] = [
        (|c| c["model_type"] = "mamba".into(), "`mamba`"),
        (|c| c["rope_parameters"]["rope_type"] = "yarn".into(), "`yarn`"),
        (|c| c["hidden_act"] = "gelu".into(), "activation"),
        (|c| c["use_sliding_window"] = true.into(), "`use_sliding_window`"),
        (|c| c["num_hidden_layers"] = 4.into(), "`model.layers.3."),
        (|c| c["num_hidden_layers"] = 2.into(), "`model.layers.2."),
        (|c| c["vocab_size"] = 66.into(), "vocab"),
        (|c| c["intermediate_size"] = 97.into(), "hidden"),
        (|c| c["num_attention_heads"] = 0.into(), "heads"),
        (|c| c["num_key_value_heads"] = 3.into(), "share"),
    ];
    for (change, words) in cases {
        let told = refusal("qwen3", change, &[]);
        assert!(told.contains(words), "{told}");
    }
    let told = refusal("qwen3", |_| {}, &["model-00003-of-00006.safetensors"]);
    assert!(told.contains("model-00003-of-00006.safetensors is missing"), "{told}");
    assert!(refusal("llama", |_| {}, &["model.safetensors"]).contains("neither"));
    let told = refusal("llama", |c| c["attention_bias"] = true.into(), &[]);
    assert!(told.contains("biases"), "{told}");
    let cases: [(Change, &str); 7] = [
        (|c| c["sliding_window"] = 60.into(), "`form.local.window` is 60"),
        (|c| c["hidden_activation"] = "gelu".into(), "gelu_pytorch_tanh"),
        (|c| c["use_bidirectional_attention"] = true.into(), "later positions"),
        (|c| c["query_pre_attn_scalar"] = 64.into(), "`query_pre_attn_scalar`"),
        (|c| c["layer_types"][0] = "linear_attention".into(), "`layer_types`"),
        (
            |c| c["final_logit_softcapping"] = 30.into(),
            "`final_logit_softcapping`",
        ),
        (
            |c| c["rope_parameters"]["sliding_attention"]["rope_type"] = "linear".into(),
            "its windows are stretched",
        ),
    ];
    for (change, words) in cases {
        let told = refusal("gemma3", change, &[]);
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn networks_with_windows_score_and_do_not_write() {
    let network = network(import_folder(&folder("gemma3"), Precision::F32).unwrap());
    let plan = TilePlan::new(&[block_causal(8, 1).unwrap()]).unwrap();
    let rotary = network.config().rotary(&[(0..8).collect()], &Device::Cpu).unwrap();
    let segment = Segment {
        batch: 1,
        len: 8,
        plan: plan.into(),
        units: None,
        rotary: &rotary,
        past: None,
    };
    let input = Input::discrete(Tensor::zeros(8, DType::U32, &Device::Cpu).unwrap());
    let tables = network.tables(None).unwrap();
    let told = network.hidden(&tables, &input, &mut [segment], &mut Default::default());
    let told = told.unwrap_err().to_string();
    assert!(told.contains("scores texts and does not write"), "{told}");
}
