//! The network of a GGUF file of llama.cpp.

use std::path::Path;

use crate::gguf::{GgufHeader, GgufValue};
use crate::{Head, Mask, ModelConfig, RopeScaling};

use super::assemble::{Pairs, Tensors};
use super::names::Style;
use super::{Family, Imported, Result};

/// A factor for each rotary frequency, in files of Llama 3.1 and later.
const FACTORS: &str = "rope_freqs.weight";

/// Reads a Llama, Qwen2 or Qwen3 out of the GGUF file of llama.cpp at `path`, which is for messages.
///
/// # Errors
/// In words that complete "it cannot be used: …": if the network is of another kind, stretches its positions in a way that is
/// not followed, lacks tensors, or has some that nothing is known of.
pub fn import_gguf(header: &GgufHeader<'_>, path: &Path) -> Result<Imported> {
    let architecture = header.get("general.architecture").and_then(|value| value.as_text());
    let architecture = architecture.ok_or("it names no architecture")?;
    let family = Family::of(architecture)?;
    let keys = Keys { header, architecture };
    let config = keys.config(family)?;
    let pairs = match family {
        Family::Llama => Pairs::Neighbours,
        Family::Qwen2 | Family::Qwen3 => Pairs::Halves,
    };
    let names = header.shapes().map(|(name, _)| name.to_owned());
    let tensors = Tensors::new(Style::Gguf, pairs, names, |name| header.tensor(name));
    let tensors = tensors.assemble(&config, |name| name == FACTORS)?;
    Imported { config, tensors }.checked(path)
}

/// The entries of an architecture.
struct Keys<'a> {
    header: &'a GgufHeader<'a>,
    architecture: &'a str,
}

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<GgufValue<'_>> {
        self.header.get(&format!("{}.{key}", self.architecture))
    }

    fn size(&self, key: &str) -> Option<usize> {
        self.get(key).and_then(|value| value.as_u64()?.try_into().ok())
    }

    fn need(&self, key: &str) -> Result<usize> {
        let missing = || format!("it has no `{}.{key}`, or no whole number there", self.architecture);
        self.size(key).ok_or_else(missing)
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.get(key).and_then(|value| value.as_f64())
    }

    fn config(&self, family: Family) -> Result<ModelConfig> {
        let shape = |name: &str| {
            self.header
                .shapes()
                .find(|(found, _)| *found == name)
                .map(|(_, shape)| shape)
        };
        let (width, heads) = (self.need("embedding_length")?, self.need("attention.head_count")?);
        let head_dim = match self.size("attention.key_length") {
            Some(wide) => wide,
            None => width.checked_div(heads).ok_or("it has no heads")?,
        };
        self.refuse_unfollowed(head_dim)?;
        let vocab = shape(Style::Gguf.embedding()).and_then(|shape| shape.first().copied());
        let rms_eps = self.number("attention.layer_norm_rms_epsilon").unwrap_or(1e-5);
        Ok(ModelConfig {
            vocab: vocab.ok_or("it has no table of tokens")?,
            width,
            embed: width,
            layers: self.need("block_count")?,
            heads,
            kv_heads: self.size("attention.head_count_kv").unwrap_or(heads),
            head_dim,
            hidden: self.need("feed_forward_length")?,
            context: self.need("context_length")?,
            rope_base: self.number("rope.freq_base").unwrap_or(10_000.0),
            rope_scaling: self.scaling()?,
            norm_eps: rms_eps,
            qk_norm_eps: (family == Family::Qwen3).then_some(rms_eps),
            qkv_bias: family == Family::Qwen2,
            head: match shape(Style::Gguf.head()) {
                Some(_) => Head::Separate,
                None => Head::Tied,
            },
            mask: Mask::Absent,
            causal_context: true,
            next_token: true,
            noise_conditioning: false,
            embedding_skips: false,
            attention: Default::default(),
            routing: Default::default(),
        })
    }

    /// Refuses what would change the network and is not followed here.
    fn refuse_unfollowed(&self, head_dim: usize) -> Result<()> {
        if let Some(experts) = self.size("expert_count").filter(|count| *count > 0) {
            return Err(format!("it is a mixture of {experts} experts, which is not read"));
        }
        if let Some(turned) = self.size("rope.dimension_count").filter(|count| *count != head_dim) {
            return Err(format!(
                "{turned} of the {head_dim} numbers of its heads turn with their positions, and all have to"
            ));
        }
        let same = self.size("attention.value_length").is_none_or(|wide| wide == head_dim);
        if !same {
            return Err("its values are of another width than its keys".to_owned());
        }
        let unknown = [
            "attention.sliding_window",
            "attn_logit_softcapping",
            "final_logit_softcapping",
            "logit_scale",
            "residual_scale",
            "embedding_scale",
            "attention.scale",
        ];
        match unknown
            .iter()
            .find(|key| self.number(key).is_some_and(|number| number != 0.0))
        {
            Some(key) => Err(format!(
                "`{}.{key}` changes the network in a way that is not followed",
                self.architecture
            )),
            None => Ok(()),
        }
    }

    fn scaling(&self) -> Result<Option<RopeScaling>> {
        let kind = self
            .get("rope.scaling.type")
            .and_then(|value| value.as_text())
            .unwrap_or("none");
        if let Some(factors) = self.factors()? {
            return match kind {
                "none" => Ok(Some(RopeScaling::Factors(factors))),
                _ => Err(format!(
                    "its positions are stretched twice, by `{kind}` and by `{FACTORS}`"
                )),
            };
        }
        match kind {
            "none" => Ok(None),
            "linear" => {
                let factor = self
                    .number("rope.scaling.factor")
                    .or_else(|| self.number("rope.scale_linear"));
                let factor = factor.ok_or("its positions are stretched by a factor that it does not name")?;
                Ok(Some(RopeScaling::Linear { factor }))
            }
            other => Err(format!(
                "its positions are stretched by `{other}`, and none, linear and llama3 are followed"
            )),
        }
    }

    fn factors(&self) -> Result<Option<Vec<f64>>> {
        let Some(weight) = self.header.tensor(FACTORS)? else {
            return Ok(None);
        };
        let drdiff_kernels::Loaded::Dense(tensor) = weight else {
            return Err(format!("`{FACTORS}` is quantised"));
        };
        let numbers = tensor
            .to_dtype(candle_core::DType::F64)
            .and_then(|tensor| tensor.flatten_all()?.to_vec1());
        numbers
            .map(Some)
            .map_err(|error| format!("`{FACTORS}` cannot be read ({error})"))
    }
}
