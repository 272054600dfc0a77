//! A judge in a folder as Hugging Face keeps models: `config.json`, `tokenizer.json` and safetensors.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result, Tensor};
use drdiff_files::without_mark;
use serde::Deserialize;
use tokenizers::Tokenizer;

use super::llama::{Llama, Pairs, Sizes, Weight};
use super::{Parts, first_line};
use crate::sweep::SweepError;

/// What is read of `config.json`. Settings that would change the network and that this one cannot follow are read to
/// be refused.
#[derive(Debug, Deserialize)]
struct Config {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    #[serde(default = "eps")]
    rms_norm_eps: f32,
    rope_theta: Option<f64>,
    rope_scaling: Option<Rope>,
    /// The newer place of both settings above.
    rope_parameters: Option<Rope>,
    #[serde(default = "silu")]
    hidden_act: String,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    #[serde(default)]
    tie_word_embeddings: bool,
    bos_token_id: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Rope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
}

fn eps() -> f32 {
    1e-6
}

fn silu() -> String {
    "silu".to_owned()
}

impl Config {
    fn sizes(&self) -> std::result::Result<Sizes, String> {
        let heads = self.num_attention_heads;
        let kv_heads = self.num_key_value_heads.unwrap_or(heads);
        let rope = self.rope_parameters.as_ref().or(self.rope_scaling.as_ref());
        let stretched = rope
            .and_then(|rope| rope.rope_type.as_deref())
            .filter(|kind| *kind != "default");
        if self.model_type != "llama" {
            return Err(format!("it is of the type `{}`", self.model_type));
        }
        if let Some(kind) = stretched {
            return Err(format!("its positions are stretched by `{kind}`"));
        }
        if self.hidden_act != "silu" || self.attention_bias || self.mlp_bias {
            return Err("its maps have biases or another activation than silu".to_owned());
        }
        if heads == 0 || kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
            return Err(format!("{heads} query heads cannot share {kv_heads} key heads"));
        }
        let theta = self.rope_parameters.as_ref().and_then(|rope| rope.rope_theta);
        Ok(Sizes {
            layers: self.num_hidden_layers,
            heads,
            kv_heads,
            head_dim: self.head_dim.unwrap_or(self.hidden_size / heads),
            eps: self.rms_norm_eps,
            rope_base: theta.or(self.rope_theta).unwrap_or(10_000.0),
            pairs: Pairs::Halves,
        })
    }
}

/// Reads the folder.
pub(super) fn read(folder: &Path, device: &Device) -> std::result::Result<Parts, SweepError> {
    let wrong = |reason: String| super::unfit(folder, &reason);
    let mut hasher = blake3::Hasher::new();
    let mut bytes = |name: &str| -> std::result::Result<Vec<u8>, SweepError> {
        let path = folder.join(name);
        let bytes = fs::read(&path).map_err(|source| super::unreadable(&path, source))?;
        hasher.update(&bytes);
        Ok(without_mark(&bytes).to_vec())
    };
    let (config, words) = (bytes("config.json")?, bytes("tokenizer.json")?);
    let config: Config = serde_json::from_slice(&config).map_err(|e| wrong(format!("config.json: {e}")))?;
    let sizes = config.sizes().map_err(wrong)?;
    let mut tokenizer = Tokenizer::from_bytes(words).map_err(|e| wrong(format!("tokenizer.json: {e}")))?;
    // Special tokens in a text are plain text.
    tokenizer.set_encode_special_tokens(true);
    let start = tokenizer.token_to_id("<|endoftext|>").or(config.bos_token_id);
    let start = start.ok_or_else(|| wrong("it names no first token".to_owned()))?;
    let mut tensors = HashMap::new();
    for path in weights(folder)? {
        let unreadable = |source| super::unreadable(&path, source);
        hasher
            .update_reader(File::open(&path).map_err(unreadable)?)
            .map_err(unreadable)?;
        let shard = candle_core::safetensors::load(&path, device).map_err(|e| wrong(first_line(&e)))?;
        tensors.extend(shard);
    }
    let network = Llama::new(sizes, |weight| match weight {
        Weight::Output if config.tie_word_embeddings => Ok(None),
        _ => single(&tensors, weight),
    });
    Ok(Parts {
        hash: hasher.finalize().to_hex().to_string(),
        network: network.map_err(|e| wrong(first_line(&e)))?,
        tokenizer,
        start,
    })
}

/// The files with weights, in the order of their names.
fn weights(folder: &Path) -> std::result::Result<Vec<PathBuf>, SweepError> {
    let unreadable = |source| super::unreadable(folder, source);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(super::unfit(folder, "it holds no .safetensors file"));
    }
    Ok(paths)
}

/// A tensor in f32.
fn single(tensors: &HashMap<String, Tensor>, weight: Weight) -> Result<Option<Tensor>> {
    let tensor = tensors.get(&name(weight));
    tensor.map(|tensor| tensor.to_dtype(DType::F32)).transpose()
}

fn name(weight: Weight) -> String {
    let of = |layer: usize, name: &str| format!("model.layers.{layer}.{name}.weight");
    match weight {
        Weight::Embedding => "model.embed_tokens.weight".to_owned(),
        Weight::Norm => "model.norm.weight".to_owned(),
        Weight::Output => "lm_head.weight".to_owned(),
        Weight::AttentionNorm(layer) => of(layer, "input_layernorm"),
        Weight::Query(layer) => of(layer, "self_attn.q_proj"),
        Weight::Key(layer) => of(layer, "self_attn.k_proj"),
        Weight::Value(layer) => of(layer, "self_attn.v_proj"),
        Weight::Out(layer) => of(layer, "self_attn.o_proj"),
        Weight::FeedForwardNorm(layer) => of(layer, "post_attention_layernorm"),
        Weight::Gate(layer) => of(layer, "mlp.gate_proj"),
        Weight::Up(layer) => of(layer, "mlp.up_proj"),
        Weight::Down(layer) => of(layer, "mlp.down_proj"),
    }
}
