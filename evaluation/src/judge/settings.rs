//! The settings of a Llama in GGUF. Each is followed, tells nothing that counts, or is refused by name.

use drdiff_model::{GgufHeader, GgufValue};

use super::llama::{Pairs, Sizes};

/// What the names of settings begin with.
const PREFIX: &str = "llama.";

/// The sizes of the network.
///
/// # Errors
/// In words that complete "it cannot be a judge: …".
pub(super) fn read(header: &GgufHeader<'_>) -> Result<Sizes, String> {
    let kind = header.get("general.architecture");
    let kind = kind
        .and_then(|value| value.as_text())
        .ok_or("it does not name its type")?;
    if kind != "llama" {
        return Err(format!("it is of the type `{kind}`"));
    }
    if let Some(parts) = number(header, "split.count")?.filter(|parts| *parts > 1) {
        return Err(format!("it is one of {parts} parts; merge them into one file"));
    }
    for (key, value) in header.metadata() {
        if let Some(name) = key.strip_prefix(PREFIX)
            && !is_plain(name, value)
        {
            return Err(match name.starts_with("rope.scal") {
                true => format!("its positions are stretched by `{key}`"),
                false => format!("it sets `{key}`, which is not followed"),
            });
        }
    }
    let size = |name: &str| number(header, &format!("{PREFIX}{name}"));
    let need = |name: &str| size(name)?.ok_or_else(|| format!("it has no `{PREFIX}{name}`"));
    let float = |name: &str, usual: f64| match header.get(&format!("{PREFIX}{name}")) {
        None => Ok(usual),
        Some(value) => value
            .as_f64()
            .ok_or_else(|| format!("its `{PREFIX}{name}` is no number")),
    };
    let heads = need("attention.head_count")?;
    let sizes = Sizes {
        layers: need("block_count")?,
        width: need("embedding_length")?,
        hidden: size("feed_forward_length")?,
        vocab: size("vocab_size")?,
        heads,
        kv_heads: size("attention.head_count_kv")?.unwrap_or(heads),
        head_dim: size("attention.key_length")?,
        eps: float("attention.layer_norm_rms_epsilon", 1e-5)?,
        rope_base: float("rope.freq_base", 10_000.0)?,
        pairs: Pairs::Neighbours,
    };
    // Values as wide as keys, and all of a head turned, are what this network has.
    let head = sizes.head_dim.or_else(|| sizes.width.checked_div(heads));
    for name in ["attention.value_length", "rope.dimension_count"] {
        if let Some(other) = size(name)?.filter(|size| Some(*size) != head) {
            return Err(format!(
                "its `{PREFIX}{name}` is {other}, which is not the width of its heads"
            ));
        }
    }
    Ok(sizes)
}

/// A whole number, if there is one with this key.
fn number(header: &GgufHeader<'_>, key: &str) -> Result<Option<usize>, String> {
    let Some(value) = header.get(key) else { return Ok(None) };
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    number
        .map(Some)
        .ok_or_else(|| format!("its `{key}` is no whole number"))
}

/// Whether a setting leaves the network a plain Llama: one that is read, that counts for nothing here, or that is switched off.
fn is_plain(name: &str, value: &GgufValue<'_>) -> bool {
    let is = |number: f64| value.as_f64() == Some(number);
    match name {
        "attention.head_count"
        | "attention.head_count_kv"
        | "attention.key_length"
        | "attention.layer_norm_rms_epsilon"
        | "attention.value_length"
        | "block_count"
        | "embedding_length"
        | "feed_forward_length"
        | "rope.dimension_count"
        | "rope.freq_base"
        | "vocab_size" => true,
        "context_length" | "rope.scaling.finetuned" | "rope.scaling.original_context_length" | "tensor_data_layout" => {
            true
        }
        "rope.scaling.type" => value.as_text() == Some("none"),
        "rope.scaling.factor" | "rope.scale_linear" => is(0.0) || is(1.0),
        "rope.scaling.attn_factor" | "embedding_scale" | "logit_scale" | "residual_scale" => is(1.0),
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
