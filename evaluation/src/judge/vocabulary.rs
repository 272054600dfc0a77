//! The byte-level BPE vocabulary that a GGUF file carries.

use drdiff_model::{GgufHeader, GgufValue, check_bpe};
use serde_json::{Map, json};
use tokenizers::Tokenizer;

/// The tokenizer, and the token that texts begin behind. Special tokens in a text are plain text.
///
/// # Errors
/// In words that complete "it cannot be a judge: …".
pub(super) fn read(header: &GgufHeader<'_>) -> Result<(Tokenizer, u32), String> {
    let get = |key: &str| header.get(key).ok_or_else(|| format!("it has no `{key}`"));
    let text = |key: &str| get(key)?.as_text().ok_or_else(|| format!("its `{key}` is no text"));
    let kind = text("tokenizer.ggml.model")?;
    if kind != "gpt2" {
        return Err(format!("its vocabulary is of the kind `{kind}`"));
    }
    let words = |key: &str| -> Result<Vec<String>, String> {
        let list = get(key)?.as_list().ok_or_else(|| format!("its `{key}` is no list"))?;
        let word = |value: GgufValue<'_>| value.as_text().map(str::to_owned);
        let words: Option<Vec<String>> = list.iter().map(word).collect();
        words.ok_or_else(|| format!("its `{key}` holds what is no text"))
    };
    let tokens = words("tokenizer.ggml.tokens")?;
    let merges = words("tokenizer.ggml.merges")?;
    let first = header
        .get("tokenizer.ggml.bos_token_id")
        .and_then(|value| value.as_u64());
    let end = tokens.iter().position(|token| token == "<|endoftext|>");
    let start = end.map(|place| place as u64).or(first);
    let start = start
        .and_then(|id| u32::try_from(id).ok())
        .ok_or("it names no first token")?;
    let byte_level =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true });
    let pre_tokenizer = match text("tokenizer.ggml.pre")? {
        "gpt-2" => byte_level.clone(),
        // SmolLM cuts numbers into digits before anything else.
        "smollm" => json!({
            "type": "Sequence",
            "pretokenizers": [{ "type": "Digits", "individual_digits": true }, byte_level],
        }),
        other => return Err(format!("its vocabulary cuts texts as `{other}` does")),
    };
    let vocab: Map<String, serde_json::Value> = tokens
        .into_iter()
        .enumerate()
        .map(|(id, token)| (token, json!(id)))
        .collect();
    let file = json!({
        "version": "1.0", "added_tokens": [], "pre_tokenizer": pre_tokenizer, "decoder": byte_level,
        "model": { "type": "BPE", "vocab": vocab, "merges": merges },
    });
    let file = file.to_string();
    check_bpe(file.as_bytes()).map_err(|e| e.to_string())?;
    let tokenizer = Tokenizer::from_bytes(file.as_bytes()).map_err(|e| e.to_string())?;
    Ok((tokenizer, start))
}
