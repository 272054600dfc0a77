//! The network of a GGUF file of llama.cpp.

use std::path::Path;

use drdiff_gguf::GgufHeader;
use drdiff_kernels::Loaded;

use super::assemble::{Pairs, Tensors};
use super::names::{Part, Style};
use super::settings::Settings;
use super::{CONTEXT, Family, Imported, MOST_LAYERS, Precision, Result};
use crate::{Head, Local, Mask, ModelConfig, RopeScaling};

/// A factor for each rotary frequency, in files of Llama 3.1 and later.
const FACTORS: &str = "rope_freqs.weight";

/// Reads a Llama, Qwen2, Qwen3 or Gemma 3 out of the GGUF file of llama.cpp at `path`, which is for messages.
///
/// # Errors
/// In words that complete "it cannot be used: …": if the network is of another kind, has a setting that is not
/// followed, lacks tensors, or has some that nothing is known of.
pub fn import_gguf(header: &GgufHeader<'_>, path: &Path, precision: Precision) -> Result<Imported> {
    let settings = Settings::read(header)?;
    let config = network(header, &settings)?;
    let pairs = match settings.family {
        Family::Llama => Pairs::Neighbours,
        Family::Qwen2 | Family::Qwen3 | Family::Gemma3 => Pairs::Halves,
    };
    let names = header.shapes().map(|(name, _)| name.to_owned());
    let tensors = Tensors::new((Style::Gguf, pairs, precision), names, |name| header.tensor(name));
    let tensors = tensors.assemble(&config, |name| name == FACTORS)?;
    Imported { config, tensors }.checked(path)
}

/// The shape of the network.
fn network(header: &GgufHeader<'_>, settings: &Settings<'_>) -> Result<ModelConfig> {
    let rows = |name: &str| header.shapes().find(|(found, _)| *found == name)?.1.first().copied();
    let (width, heads) = (
        settings.need("embedding_length")?,
        settings.need("attention.head_count")?,
    );
    let head_dim = match settings.size("attention.key_length")? {
        Some(wide) => wide,
        None => width.checked_div(heads).ok_or("it has no heads")?,
    };
    for name in ["attention.value_length", "rope.dimension_count"] {
        if let Some(other) = settings.size(name)?.filter(|size| *size != head_dim) {
            let key = settings.key(name);
            return Err(format!("its `{key}` is {other}, which is not the width of its heads"));
        }
    }
    let vocab = rows(Style::Gguf.embedding()).ok_or("it has no table of tokens")?;
    if let Some(named) = settings.size("vocab_size")?.filter(|named| *named != vocab) {
        let key = settings.key("vocab_size");
        return Err(format!(
            "its `{key}` is {named} and its table of tokens has {vocab} rows"
        ));
    }
    let hidden = match settings.size("feed_forward_length")? {
        Some(hidden) => hidden,
        None => rows(&Style::Gguf.weight(0, Part::Gate)).ok_or("its feed-forward layers have no gate")?,
    };
    let rms_eps = settings.number("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5);
    let layers = settings.need("block_count")?;
    let local = match settings.family {
        Family::Gemma3 => Some(local(settings, layers)?),
        Family::Llama | Family::Qwen2 | Family::Qwen3 => None,
    };
    Ok(ModelConfig {
        vocab,
        width,
        embed: width,
        layers,
        heads,
        kv_heads: settings.size("attention.head_count_kv")?.unwrap_or(heads),
        head_dim,
        hidden,
        context: settings.size("context_length")?.unwrap_or(CONTEXT),
        rope_base: settings.number("rope.freq_base")?.unwrap_or(10_000.0),
        rope_scaling: scaling(header, settings)?,
        norm_eps: rms_eps,
        qk_norm_eps: settings.family.norms_heads().then_some(rms_eps),
        qkv_bias: settings.family == Family::Qwen2,
        head: match rows(Style::Gguf.head()) {
            Some(_) => Head::Separate,
            None => Head::Tied,
        },
        mask: Mask::Absent,
        causal_context: true,
        next_token: true,
        noise_conditioning: false,
        embedding_skips: false,
        form: settings.family.form(width, local),
        attention: Default::default(),
        routing: Default::default(),
    })
}

/// The layers of Gemma 3 that see the last positions alone: five of six (llama.cpp, `set_swa_pattern(6)`).
fn local(settings: &Settings<'_>, layers: usize) -> Result<Local> {
    // The largest of the family, which the file does not say.
    if layers == 62 {
        return Err("its attention is scaled as that of Gemma 3 27B, which is not followed".to_owned());
    }
    Ok(Local {
        layers: (0..layers.min(MOST_LAYERS)).filter(|layer| layer % 6 != 5).collect(),
        window: settings.need("attention.sliding_window")?,
        rope_base: settings.number("rope.freq_base_swa")?.unwrap_or(10_000.0),
    })
}

/// How positions are stretched. As in llama.cpp a factor without a kind is a linear one, and the kind `none` overrules it.
fn scaling(header: &GgufHeader<'_>, settings: &Settings<'_>) -> Result<Option<RopeScaling>> {
    let kind = settings
        .get("rope.scaling.type")
        .map(|kind| kind.as_text().unwrap_or_default());
    let factor = match settings.number("rope.scaling.factor")? {
        None => settings.number("rope.scale_linear")?,
        factor => factor,
    };
    let factor = factor.filter(|factor| ![0.0, 1.0].contains(factor));
    let linear = match (kind, factor) {
        (Some("none"), _) | (None, None) => None,
        (Some("linear") | None, Some(factor)) => Some(RopeScaling::Linear { factor }),
        (Some("linear"), None) => {
            return Err("its positions are stretched by a factor that it does not name".to_owned());
        }
        (Some(other), _) => {
            let key = settings.key("rope.scaling.type");
            return Err(format!(
                "its positions are stretched by `{other}` (`{key}`), and none, linear and llama3 are followed"
            ));
        }
    };
    match (factors(header)?, linear) {
        (Some(_), Some(_)) => Err(format!(
            "its positions are stretched twice, by one factor and by `{FACTORS}`"
        )),
        (Some(factors), None) => Ok(Some(RopeScaling::Factors(factors))),
        (None, linear) => Ok(linear),
    }
}

fn factors(header: &GgufHeader<'_>) -> Result<Option<Vec<f64>>> {
    let Some(weight) = header.tensor(FACTORS)? else {
        return Ok(None);
    };
    let Loaded::Dense(tensor) = weight else {
        return Err(format!("`{FACTORS}` is quantised"));
    };
    let numbers = tensor
        .to_dtype(candle_core::DType::F64)
        .and_then(|tensor| tensor.flatten_all()?.to_vec1());
    numbers
        .map(Some)
        .map_err(|error| format!("`{FACTORS}` cannot be read ({error})"))
}
