//! The network of a folder as Hugging Face keeps models: `config.json` and safetensors, in one file or many.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Device;
use drdiff_files::without_mark;
use drdiff_kernels::{Loaded, MappedFile};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::assemble::{Pairs, Tensors};
use super::names::Style;
use super::{CONTEXT, Family, Imported, Precision, Result, gemma, plain};
use crate::safetensors::TensorFile;
use crate::{Head, Mask, ModelConfig, RopeScaling};

/// Names the file of each tensor where there are many.
const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";

/// What is read of `config.json`. Settings that would change the network and are not followed are read to be refused.
#[derive(Debug, Deserialize)]
struct Config {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    #[serde(default = "context")]
    max_position_embeddings: usize,
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
    tie_word_embeddings: Option<bool>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Rope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn eps() -> f64 {
    1e-6
}

fn context() -> usize {
    CONTEXT
}

fn silu() -> String {
    "silu".to_owned()
}

/// Reads a Llama, Qwen2, Qwen3 or Gemma 3 out of a folder. Weights are mapped, and read tensor by tensor.
///
/// # Errors
/// In words that complete "it cannot be used: …": if a file is missing or damaged, the network is of another kind, stretches
/// its positions in a way that is not followed, lacks tensors, or has some that nothing is known of.
pub fn import_folder(folder: &Path, precision: Precision) -> Result<Imported> {
    let config = read(&folder.join("config.json"))?;
    let config: Config = serde_json::from_slice(without_mark(&config)).map_err(|e| format!("config.json: {e}"))?;
    let (config, style) = config.network()?;
    let mut maps = Vec::new();
    for path in weights(folder)? {
        let map = MappedFile::open(&path).map_err(|e| format!("{} cannot be read ({e})", path.display()))?;
        maps.push((path, map));
    }
    let mut files = Vec::new();
    for (path, map) in &maps {
        files.push(TensorFile::read(map).map_err(|reason| format!("{}: {reason}", path.display()))?);
    }
    let mut names: Vec<String> = files
        .iter()
        .flat_map(TensorFile::shapes)
        .map(|(name, _)| name.to_owned())
        .collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("its tensor `{}` is in two files", pair[0]));
    }
    let tensors = Tensors::new((style, Pairs::Halves, precision), names, |name| {
        let holder = files.iter().find(|file| file.shapes().any(|(found, _)| found == name));
        let tensor = holder.map_or(Ok(None), |file| file.tensor(name, &Device::Cpu));
        Ok(tensor?.map(Loaded::Dense))
    });
    let tied = config.head == Head::Tied;
    let tensors = tensors.assemble(&config, |name| {
        // Copies of what is known already.
        name.ends_with("rotary_emb.inv_freq") || (tied && name == style.head())
    })?;
    Imported { config, tensors }.checked(folder)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| format!("{} cannot be read ({e})", path.display()))
}

/// The files with weights: all of a folder, where neither of the usual names is there.
fn weights(folder: &Path) -> Result<Vec<PathBuf>> {
    if folder.join(SINGLE).is_file() {
        return Ok(vec![folder.join(SINGLE)]);
    }
    if !folder.join(INDEX).is_file() {
        let entries = std::fs::read_dir(folder).map_err(|e| format!("it cannot be read ({e})"))?;
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
        paths.sort();
        return match paths.is_empty() {
            true => Err(format!(
                "it holds neither {SINGLE} nor {INDEX} nor other .safetensors files"
            )),
            false => Ok(paths),
        };
    }
    let index: Index = serde_json::from_slice(&read(&folder.join(INDEX))?).map_err(|e| format!("{INDEX}: {e}"))?;
    let mut names: Vec<&String> = index.weight_map.values().collect();
    names.sort();
    names.dedup();
    let mut paths = Vec::new();
    for name in names {
        // A name, not a way out of the folder.
        let path = folder.join(Path::new(name).file_name().unwrap_or_default());
        if !path.is_file() {
            return Err(format!("{name} is missing, which {INDEX} names; fetch it as well"));
        }
        paths.push(path);
    }
    Ok(paths)
}

impl Config {
    /// The shape of the network, and how its tensors are named.
    fn network(mut self) -> Result<(ModelConfig, Style)> {
        let family = Family::of(&self.model_type)?;
        if self.hidden_act != "silu" || self.mlp_bias {
            return Err("its feed-forward layers have biases or another activation than silu".to_owned());
        }
        if self.attention_bias && family != Family::Qwen2 {
            return Err("its attention has biases, also in its output, which is not followed".to_owned());
        }
        let heads = self.num_attention_heads;
        let head_dim = match self.head_dim {
            Some(wide) => wide,
            None => self.hidden_size.checked_div(heads).ok_or("it has no heads")?,
        };
        let (mut style, mut local) = (Style::HuggingFace, None);
        if family == Family::Gemma3 {
            let ropes = self.rope_parameters.as_mut().map(|ropes| &mut ropes.others);
            let sizes = (self.num_hidden_layers, head_dim);
            (style, local) = (
                Style::HuggingFaceGemma,
                Some(gemma::take(&mut self.others, ropes, sizes)?),
            );
            let of_full = self
                .rope_parameters
                .as_mut()
                .and_then(|ropes| ropes.others.remove("full_attention"));
            if let Some(full) = of_full {
                self.rope_parameters = serde_json::from_value(full).map_err(|e| format!("config.json: {e}"))?;
            }
        }
        if let Some(key) = plain::changed(&self.others) {
            return Err(format!("its config.json sets `{key}`, which is not followed"));
        }
        let theta = self.rope_parameters.as_ref().and_then(|rope| rope.rope_theta);
        let ropes = [&self.rope_parameters, &self.rope_scaling].into_iter().flatten();
        let scalings = ropes.map(Rope::scaling).collect::<Result<Vec<_>>>()?;
        let tied = self.tie_word_embeddings.unwrap_or(family == Family::Gemma3);
        let config = ModelConfig {
            vocab: self.vocab_size,
            width: self.hidden_size,
            embed: self.hidden_size,
            layers: self.num_hidden_layers,
            heads,
            kv_heads: self.num_key_value_heads.unwrap_or(heads),
            head_dim,
            hidden: self.intermediate_size,
            context: self.max_position_embeddings,
            rope_base: theta.or(self.rope_theta).unwrap_or(10_000.0),
            rope_scaling: scalings.into_iter().flatten().next(),
            norm_eps: self.rms_norm_eps,
            qk_norm_eps: family.norms_heads().then_some(self.rms_norm_eps),
            qkv_bias: family == Family::Qwen2,
            head: if tied { Head::Tied } else { Head::Separate },
            mask: Mask::Absent,
            causal_context: true,
            next_token: true,
            noise_conditioning: false,
            embedding_skips: false,
            form: family.form(self.hidden_size, local),
            attention: Default::default(),
            routing: Default::default(),
        };
        Ok((config, style))
    }
}

impl Rope {
    fn scaling(&self) -> Result<Option<RopeScaling>> {
        let changed = plain::changed(&self.others);
        let unnamed = self.factor.filter(|factor| self.rope_type.is_none() && *factor != 1.0);
        if let Some(key) = changed.or(unnamed.map(|_| "factor")) {
            return Err(format!("its positions are stretched by `{key}`, which is not followed"));
        }
        let need =
            |number: Option<f64>, name: &str| number.ok_or_else(|| format!("its stretched positions name no `{name}`"));
        match self.rope_type.as_deref().unwrap_or("default") {
            "default" => Ok(None),
            "linear" => Ok(Some(RopeScaling::Linear {
                factor: need(self.factor, "factor")?,
            })),
            "llama3" => Ok(Some(RopeScaling::Llama3 {
                factor: need(self.factor, "factor")?,
                low_freq_factor: need(self.low_freq_factor, "low_freq_factor")?,
                high_freq_factor: need(self.high_freq_factor, "high_freq_factor")?,
                original_context: need(
                    self.original_max_position_embeddings,
                    "original_max_position_embeddings",
                )?,
            })),
            other => Err(format!(
                "its positions are stretched by `{other}`, and none, linear and llama3 are followed"
            )),
        }
    }
}
