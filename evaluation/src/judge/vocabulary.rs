//! The byte-level BPE vocabulary that a GGUF file carries.

use candle_core::quantized::gguf_file::{Content, Value};
use serde_json::{Map, json};
use tokenizers::Tokenizer;

/// The tokenizer, and the token that texts begin behind. Special tokens in a text are plain text.
pub(super) fn read(content: &Content) -> Result<(Tokenizer, u32), String> {
    let get = |key: &str| content.metadata.get(key).ok_or_else(|| format!("it has no `{key}`"));
    let kind = get("tokenizer.ggml.model")?.to_string().map_err(|e| e.to_string())?;
    if kind != "gpt2" {
        return Err(format!("its vocabulary is of the kind `{kind}`"));
    }
    let words = |key: &str| -> Result<Vec<String>, String> {
        let list = get(key)?.to_vec().map_err(|e| e.to_string())?;
        list.iter()
            .map(|word| word.to_string().cloned().map_err(|e| e.to_string()))
            .collect()
    };
    let tokens = words("tokenizer.ggml.tokens")?;
    let merges = words("tokenizer.ggml.merges")?;
    let id = |key: &str| content.metadata.get(key).and_then(|value: &Value| value.to_u32().ok());
    let end = tokens
        .iter()
        .position(|token| token == "<|endoftext|>")
        .map(|place| place as u32);
    let start = end
        .or_else(|| id("tokenizer.ggml.bos_token_id"))
        .ok_or("it names no first token")?;
    let vocab: Map<String, serde_json::Value> = tokens
        .into_iter()
        .enumerate()
        .map(|(id, token)| (token, json!(id)))
        .collect();
    let pre = content
        .metadata
        .get("tokenizer.ggml.pre")
        .and_then(|value| value.to_string().ok());
    let byte_level =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true });
    // SmolLM cuts numbers into digits before anything else.
    let pre_tokenizer = match pre.map(String::as_str) {
        Some("smollm") => json!({
            "type": "Sequence",
            "pretokenizers": [{ "type": "Digits", "individual_digits": true }, byte_level],
        }),
        _ => byte_level.clone(),
    };
    let file = json!({
        "version": "1.0", "added_tokens": [], "pre_tokenizer": pre_tokenizer, "decoder": byte_level,
        "model": { "type": "BPE", "vocab": vocab, "merges": merges },
    });
    let tokenizer = Tokenizer::from_bytes(file.to_string().as_bytes()).map_err(|e| e.to_string())?;
    Ok((tokenizer, start))
}
