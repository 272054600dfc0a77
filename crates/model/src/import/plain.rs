//! Which settings of a `config.json` would make a decoder another network. Programs write many that count for nothing, so
//! those that count are known by what their names hold.

use serde_json::{Map, Value};

/// What names of such settings hold, and the number at which they change nothing.
const CHANGES: [(&str, f64); 24] = [
    ("alibi", 0.0),
    ("attn_scale", 1.0),
    ("attention_scale", 1.0),
    ("attention_window", 0.0),
    ("bias", 0.0),
    ("clip_qkv", 0.0),
    ("embedding_scale", 1.0),
    ("expert", 0.0),
    ("factor", 1.0),
    ("interleaved", 0.0),
    ("layer_types", 0.0),
    ("layernorm", 0.0),
    ("layer_norm", 0.0),
    ("logit_scale", 1.0),
    ("logits_scaling", 1.0),
    ("moe", 0.0),
    ("multiplier", 1.0),
    ("no_rope", 0.0),
    ("parallel_residual", 0.0),
    ("qk_norm", 0.0),
    ("quantization_config", 0.0),
    ("residual_scale", 1.0),
    ("rotary", 1.0),
    ("softcap", 0.0),
];
/// Settings of windows, which another setting may switch off.
const SLIDING: &str = "sliding_window";
const SWITCH: &str = "use_sliding_window";

/// The first setting that makes the network another one than the plain decoder.
pub(super) fn changed(settings: &Map<String, Value>) -> Option<&str> {
    let off = settings.get(SWITCH).is_some_and(|switch| *switch == Value::Bool(false));
    let counts = |(key, value): &(&String, &Value)| {
        if key.contains(SLIDING) {
            return !off && !is_nothing(value, 0.0);
        }
        let changes = CHANGES.iter().filter(|(part, _)| key.contains(part));
        changes.into_iter().any(|(_, usual)| !is_nothing(value, *usual))
    };
    settings.iter().find(counts).map(|(key, _)| key.as_str())
}

/// Whether a value leaves things as they are: nothing, no, the `usual` number, or a list of such values.
fn is_nothing(value: &Value, usual: f64) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(usual),
        Value::String(text) => text.is_empty() || text == "full_attention",
        Value::Array(values) => values.iter().all(|value| is_nothing(value, usual)),
        Value::Object(map) => map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn told(json: &str) -> Option<String> {
        let settings = serde_json::from_str(json).unwrap();
        changed(&settings).map(str::to_owned)
    }

    #[test]
    fn what_counts_is_found_among_what_does_not() {
        // Of SmolLM2-135M-Instruct and of Llama 3.
        let plain = r#"{"architectures": ["LlamaForCausalLM"], "attention_dropout": 0.0, "eos_token_id": [1, 2], "initializer_range": 0.04,
            "is_llama_config": true, "max_position_embeddings": 8192, "pad_token_id": 2, "pretraining_tp": 1, "rope_interleaved": false,
            "torch_dtype": "bfloat16", "transformers_version": "4.42.3", "use_cache": true, "layer_types": ["full_attention"],
            "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}}, "sliding_window": null, "quantization_config": null}"#;
        assert_eq!(told(plain), None);
        for (json, key) in [
            (r#"{"a": 1, "sliding_window": 4096}"#, "sliding_window"),
            (r#"{"final_logit_softcapping": 30.0}"#, "final_logit_softcapping"),
            (r#"{"num_local_experts": 8}"#, "num_local_experts"),
            (r#"{"residual_multiplier": 0.2}"#, "residual_multiplier"),
            (r#"{"partial_rotary_factor": 0.5}"#, "partial_rotary_factor"),
            (
                r#"{"layer_types": ["full_attention", "sliding_attention"]}"#,
                "layer_types",
            ),
            (r#"{"quantization_config": {"bits": 4}}"#, "quantization_config"),
            (r#"{"rope_interleaved": true}"#, "rope_interleaved"),
        ] {
            assert_eq!(told(json).as_deref(), Some(key));
        }
        assert_eq!(told(r#"{"sliding_window": 4096, "use_sliding_window": false}"#), None);
        assert_eq!(told(r#"{"partial_rotary_factor": 1.0, "num_experts": 0}"#), None);
    }
}
