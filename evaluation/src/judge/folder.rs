//! A judge in a folder as Hugging Face keeps models: `config.json`, `tokenizer.json` and safetensors.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use drdiff_model::{TensorFile, check_bpe};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use super::llama::{Llama, Pairs, Sizes, Weight};
use super::{Parts, first_line, plain, unused};
use crate::sweep::SweepError;

type Result<T, E = String> = std::result::Result<T, E>;

/// What is read of `config.json`. Settings that would change the network and that this one cannot follow are read to
/// be refused.
#[derive(Debug, Deserialize)]
struct Config {
    model_type: String,
    hidden_size: usize,
    intermediate_size: Option<usize>,
    vocab_size: Option<usize>,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    #[serde(default = "eps")]
    rms_norm_eps: f64,
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
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Rope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Rope {
    /// What stretches positions, if anything does.
    fn stretch(&self) -> Option<&str> {
        match self.rope_type.as_deref() {
            None => self.others.keys().map(String::as_str).next(),
            Some("default") => plain::changed(&self.others),
            kind => kind,
        }
    }
}

fn eps() -> f64 {
    1e-6
}

fn silu() -> String {
    "silu".to_owned()
}

impl Config {
    fn sizes(&self) -> Result<Sizes> {
        let heads = self.num_attention_heads;
        let ropes = [&self.rope_parameters, &self.rope_scaling];
        if self.model_type != "llama" {
            return Err(format!("it is of the type `{}`", self.model_type));
        }
        if let Some(kind) = ropes.into_iter().flatten().find_map(Rope::stretch) {
            return Err(format!("its positions are stretched by `{kind}`"));
        }
        if self.hidden_act != "silu" || self.attention_bias || self.mlp_bias {
            return Err("its maps have biases or another activation than silu".to_owned());
        }
        if let Some(key) = plain::changed(&self.others) {
            return Err(format!("its config.json sets `{key}`, which is not followed"));
        }
        let theta = ropes.into_iter().flatten().find_map(|rope| rope.rope_theta);
        Ok(Sizes {
            layers: self.num_hidden_layers,
            width: self.hidden_size,
            hidden: self.intermediate_size,
            vocab: self.vocab_size,
            heads,
            kv_heads: self.num_key_value_heads.unwrap_or(heads),
            head_dim: self.head_dim,
            eps: self.rms_norm_eps,
            rope_base: theta.or(self.rope_theta).unwrap_or(10_000.0),
            pairs: Pairs::Halves,
        })
    }
}

/// Reads the folder.
pub(super) fn read(folder: &Path, device: &Device) -> Result<Parts, SweepError> {
    let wrong = |reason: String| super::unfit(folder, &reason);
    let mut hasher = blake3::Hasher::new();
    let mut bytes = |path: &Path| -> Result<Vec<u8>, SweepError> {
        let bytes = fs::read(path).map_err(|source| super::unreadable(path, source))?;
        hasher.update(&bytes);
        Ok(bytes)
    };
    let config = bytes(&folder.join("config.json"))?;
    let words = bytes(&folder.join("tokenizer.json"))?;
    let config: Config = serde_json::from_slice(&config).map_err(|e| wrong(format!("config.json: {e}")))?;
    let sizes = config.sizes().map_err(wrong)?;
    check_bpe(&words).map_err(|e| wrong(e.to_string()))?;
    let mut tokenizer = Tokenizer::from_bytes(words).map_err(|e| wrong(format!("tokenizer.json: {e}")))?;
    // Special tokens in a text are plain text.
    tokenizer.set_encode_special_tokens(true);
    let start = tokenizer.token_to_id("<|endoftext|>").or(config.bos_token_id);
    let start = start.ok_or_else(|| wrong("it names no first token".to_owned()))?;
    let mut tensors = BTreeMap::new();
    for path in weights(folder)? {
        let shard = bytes(&path)?;
        take(&shard, &mut tensors, device).map_err(|reason| wrong(in_file(&path, &reason)))?;
    }
    let names = tensors.keys().map(String::as_str);
    // Old files hold the frequencies of their positions, which follow from their base.
    let names = names.filter(|name| !name.ends_with(".rotary_emb.inv_freq"));
    let used = || Weight::all(sizes.layers).map(name).collect();
    unused::refuse(names, sizes.layers, used).map_err(wrong)?;
    let network = Llama::new(&sizes, |weight| match weight {
        Weight::Output if config.tie_word_embeddings => Ok(None),
        _ => single(&tensors, weight),
    });
    Ok(Parts {
        network: network.map_err(wrong)?,
        hash: hasher.finalize().to_hex().to_string(),
        tokenizer,
        start,
    })
}

/// Adds the tensors of a file to those of others.
fn take(bytes: &[u8], tensors: &mut BTreeMap<String, Tensor>, device: &Device) -> Result<()> {
    let file = TensorFile::read(bytes)?;
    for (name, _) in file.shapes() {
        let Some(tensor) = file.tensor(name, device)? else {
            continue;
        };
        if tensors.insert(name.to_owned(), tensor).is_some() {
            return Err(format!("its tensor `{name}` is in another file too"));
        }
    }
    Ok(())
}

fn in_file(path: &Path, reason: &str) -> String {
    let name = path.file_name().unwrap_or_default();
    format!("{}: {reason}", name.to_string_lossy())
}

/// The files with weights, in the order of their names.
fn weights(folder: &Path) -> Result<Vec<PathBuf>, SweepError> {
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
fn single(tensors: &BTreeMap<String, Tensor>, weight: Weight) -> Result<Option<Tensor>> {
    let tensor = tensors.get(&name(weight));
    let single = tensor.map(|tensor| tensor.to_dtype(DType::F32)).transpose();
    single.map_err(|e| first_line(&e))
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
