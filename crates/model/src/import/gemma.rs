//! What the `config.json` of a Gemma 3 says beside what all decoders say.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{MOST_LAYERS, Result};
use crate::Local;

/// Settings that are followed here.
const FOLLOWED: [&str; 7] = [
    "hidden_activation",
    "layer_types",
    "query_pre_attn_scalar",
    "rope_local_base_freq",
    "sliding_window",
    "sliding_window_pattern",
    "_sliding_window_pattern",
];
/// Layers with a window, as `layer_types` has them.
const SLIDING: &str = "sliding_attention";
/// The other layers.
const FULL: &str = "full_attention";

#[derive(Deserialize)]
struct Gemma {
    hidden_activation: String,
    sliding_window: usize,
    layer_types: Option<Vec<String>>,
    #[serde(alias = "_sliding_window_pattern")]
    sliding_window_pattern: Option<usize>,
    query_pre_attn_scalar: f64,
    rope_local_base_freq: Option<f64>,
    #[serde(default)]
    use_bidirectional_attention: bool,
}

/// The layers with windows. Takes what is followed out of the `settings`, and out of `ropes`, the newer place of what concerns
/// positions, what concerns those layers.
pub(super) fn take(
    settings: &mut Map<String, Value>,
    ropes: Option<&mut Map<String, Value>>,
    (layers, head_dim): (usize, usize),
) -> Result<Local> {
    let gemma = Gemma::deserialize(&*settings).map_err(|e| format!("config.json: {e}"))?;
    FOLLOWED.iter().for_each(|key| drop(settings.remove(*key)));
    if gemma.hidden_activation != "gelu_pytorch_tanh" || gemma.use_bidirectional_attention {
        return Err("its layers read later positions or have another activation than gelu_pytorch_tanh".to_owned());
    }
    if gemma.query_pre_attn_scalar != head_dim as f64 {
        return Err("its `query_pre_attn_scalar` is not the width of its heads, which is not followed".to_owned());
    }
    if layers > MOST_LAYERS {
        return Err(format!("it names {layers} layers, and {MOST_LAYERS} are the most"));
    }
    let kinds = gemma.layer_types.unwrap_or_else(|| {
        let each = gemma.sliding_window_pattern.unwrap_or(6).max(1);
        let kind = |layer: usize| {
            if (layer + 1).is_multiple_of(each) {
                FULL
            } else {
                SLIDING
            }
        };
        (0..layers).map(kind).map(str::to_owned).collect()
    });
    if kinds.len() != layers || kinds.iter().any(|kind| ![SLIDING, FULL].contains(&kind.as_str())) {
        return Err(format!("its `layer_types` are not {layers} times {SLIDING} or {FULL}"));
    }
    let sliding = ropes.and_then(|ropes| ropes.remove(SLIDING)).unwrap_or_default();
    if sliding["rope_type"].as_str().is_some_and(|kind| kind != "default") {
        return Err("the positions of its windows are stretched".to_owned());
    }
    let base = sliding["rope_theta"].as_f64().or(gemma.rope_local_base_freq);
    Ok(Local {
        layers: (0..layers).filter(|layer| kinds[*layer] == SLIDING).collect(),
        window: gemma.sliding_window,
        rope_base: base.unwrap_or(10_000.0),
    })
}
