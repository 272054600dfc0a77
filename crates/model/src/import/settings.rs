//! The settings of a GGUF file of llama.cpp. Each is followed, counts for nothing, or is refused by name.

use drdiff_gguf::{GgufHeader, GgufValue};

use super::{Family, Result};

/// Settings of Gemma 3 that are followed, beside those of all.
const GEMMA: [&str; 2] = ["attention.sliding_window", "rope.freq_base_swa"];

/// The entries of an architecture.
pub(super) struct Settings<'a> {
    header: &'a GgufHeader<'a>,
    architecture: &'a str,
    pub(super) family: Family,
}

impl<'a> Settings<'a> {
    /// The entries of the architecture that a file names.
    ///
    /// # Errors
    /// In words that complete "it cannot be used: …": if the architecture or one of its settings is not followed here, or the file
    /// is a part of a model.
    pub(super) fn read(header: &'a GgufHeader<'a>) -> Result<Self> {
        let architecture = header.get("general.architecture").and_then(|value| value.as_text());
        let architecture = architecture.ok_or("it names no architecture")?;
        let settings = Self {
            header,
            architecture,
            family: Family::of(architecture)?,
        };
        if let Some(parts) = whole(header, "split.count")?.filter(|parts| *parts > 1) {
            return Err(format!("it is one of {parts} parts; merge them into one file"));
        }
        let own = header.metadata().iter().filter_map(|(key, value)| {
            let name = key.strip_prefix(architecture)?.strip_prefix('.')?;
            Some((name, value))
        });
        for (name, value) in own {
            let gemma = settings.family == Family::Gemma3 && GEMMA.contains(&name);
            if !gemma && !is_plain(name, value) {
                return Err(format!(
                    "its `{}` changes the network in a way that is not followed",
                    settings.key(name)
                ));
            }
        }
        Ok(settings)
    }

    /// The whole name of a setting.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    pub(super) fn get(&self, name: &str) -> Option<GgufValue<'_>> {
        self.header.get(&self.key(name))
    }

    /// A whole number, if there is one with this name.
    pub(super) fn size(&self, name: &str) -> Result<Option<usize>> {
        whole(self.header, &self.key(name))
    }

    /// A whole number that has to be there.
    pub(super) fn need(&self, name: &str) -> Result<usize> {
        self.size(name)?
            .ok_or_else(|| format!("it has no `{}`", self.key(name)))
    }

    /// A number, if there is one with this name.
    pub(super) fn number(&self, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.as_f64();
        number
            .map(Some)
            .ok_or_else(|| format!("its `{}` is no number", self.key(name)))
    }
}

fn whole(header: &GgufHeader<'_>, key: &str) -> Result<Option<usize>> {
    let Some(value) = header.get(key) else { return Ok(None) };
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    number
        .map(Some)
        .ok_or_else(|| format!("its `{key}` is no whole number"))
}

/// Whether a setting is one that is followed, counts for nothing here, or is switched off.
fn is_plain(name: &str, value: &GgufValue<'_>) -> bool {
    let is = |number: f64| value.as_f64() == Some(number);
    match name {
        "attention.head_count"
        | "attention.head_count_kv"
        | "attention.key_length"
        | "attention.layer_norm_rms_epsilon"
        | "attention.value_length"
        | "block_count"
        | "context_length"
        | "embedding_length"
        | "feed_forward_length"
        | "rope.dimension_count"
        | "rope.freq_base"
        | "rope.scale_linear"
        | "rope.scaling.factor"
        | "rope.scaling.finetuned"
        | "rope.scaling.original_context_length"
        | "rope.scaling.type"
        | "tensor_data_layout"
        | "vocab_size" => true,
        "rope.scaling.attn_factor" | "embedding_scale" | "logit_scale" | "residual_scale" => is(1.0) || is(0.0),
        "attention.scale"
        | "attention.clamp_kqv"
        | "attention.max_alibi_bias"
        | "attention.sliding_window"
        | "attn_logit_softcapping"
        | "expert_count"
        | "expert_shared_count"
        | "expert_used_count"
        | "final_logit_softcapping"
        | "leading_dense_block_count" => is(0.0),
        "attention.causal" => value.as_bool() == Some(true),
        "use_parallel_residual" => value.as_bool() == Some(false),
        _ => false,
    }
}
