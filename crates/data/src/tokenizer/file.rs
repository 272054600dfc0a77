//! What a `tokenizer.json` may hold: checked before the BPE is built from it, because the BPE trusts its input.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::TokenizerError;
use super::cut::flatten;
use super::spelling::{SPACE, Spelling};

/// Ids are below this; more would be a damaged file, not a vocabulary.
const MOST_IDS: u64 = 1 << 22;

/// A `tokenizer.json` that can be built.
pub(super) struct File {
    /// What the BPE is built from: the parts that decide about ids.
    pub(super) parts: Value,
    /// The part that adds tokens around a text.
    pub(super) post_processor: Value,
    pub(super) spelling: Spelling,
}

impl File {
    /// Reads and checks the content of a `tokenizer.json`.
    pub(super) fn read(json: &[u8]) -> Result<Self, TokenizerError> {
        let mut file: Map<String, Value> =
            serde_json::from_slice(json).map_err(|e| TokenizerError::Format(e.to_string()))?;
        let mut take = |key: &str| file.remove(key).unwrap_or(Value::Null);
        let model = take("model");
        let (normalizer, pre_tokenizer) = (take("normalizer"), take("pre_tokenizer"));
        let added = match take("added_tokens") {
            Value::Null => json!([]),
            added => added,
        };
        let version = take("version");
        check_model(&model)?;
        let spelling = spelling(&model, &normalizer, &pre_tokenizer)?;
        check_added(&added)?;
        let mut parts = json!({
            "added_tokens": added, "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "model": model,
        });
        if !version.is_null() {
            parts["version"] = version;
        }
        Ok(Self {
            parts,
            post_processor: take("post_processor"),
            spelling,
        })
    }
}

fn wrong(reason: impl Into<String>) -> TokenizerError {
    TokenizerError::Format(reason.into())
}

/// Only a BPE without dropout, prefix and suffix; its merges make entries, and each entry has an id of its own that is small enough
/// for a table. Others would end the program, or be read wrongly.
fn check_model(model: &Value) -> Result<(), TokenizerError> {
    match model["type"].as_str() {
        Some("BPE") => {}
        None if model["merges"].is_array() => {}
        Some(other) => return Err(TokenizerError::Unsupported(format!("its model is {other}, not BPE"))),
        None => return Err(wrong("it has no model")),
    }
    if model["dropout"].as_f64().is_some_and(|dropout| dropout > 0.0) {
        return Err(TokenizerError::Unsupported("its dropout makes ids random".into()));
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if model[key].as_str().is_some_and(|text| !text.is_empty()) {
            return Err(TokenizerError::Unsupported(format!("its model has a `{key}`")));
        }
    }
    let vocab = model["vocab"]
        .as_object()
        .ok_or_else(|| wrong("it has no vocabulary"))?;
    let mut ids = HashSet::with_capacity(vocab.len());
    for (token, id) in vocab {
        let id = id.as_u64().filter(|id| *id < MOST_IDS);
        let id = id.ok_or_else(|| wrong(format!("the id of {token:?} is not a number below {MOST_IDS}")))?;
        if !ids.insert(id) {
            return Err(wrong(format!("two entries have the id {id}")));
        }
    }
    let merges = model["merges"].as_array().ok_or_else(|| wrong("it has no merges"))?;
    let mut made = String::new();
    for merge in merges {
        let halves = match merge {
            Value::String(line) if line.starts_with("#version") => continue,
            Value::String(line) => line.split_once(' '),
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(left), Value::String(right)] => Some((left.as_str(), right.as_str())),
                _ => None,
            },
            _ => None,
        };
        let (left, right) = halves.ok_or_else(|| wrong(format!("the merge {merge} is not a pair")))?;
        made.clear();
        made.push_str(left);
        made.push_str(right);
        if ![left, right, &made].into_iter().all(|token| vocab.contains_key(token)) {
            return Err(wrong(format!("the merge of {left:?} and {right:?} has no entry")));
        }
    }
    Ok(())
}

/// How the vocabulary spells bytes, from the steps before the BPE; steps that would change a text are refused by name.
fn spelling(model: &Value, normalizer: &Value, pre_tokenizer: &Value) -> Result<Spelling, TokenizerError> {
    let (mut before, mut steps) = (Vec::new(), Vec::new());
    flatten(normalizer, &mut before);
    flatten(pre_tokenizer, &mut steps);
    let lossy = |reason: String| Err(TokenizerError::Lossy(reason));
    for step in &steps {
        match step["type"].as_str().unwrap_or_default() {
            "ByteLevel" if step["add_prefix_space"] == false => {}
            "ByteLevel" | "Metaspace" => return lossy("it puts a space before every text".into()),
            "Split" if step["behavior"] != "Removed" => {}
            "Digits" => {}
            other => return lossy(format!("its pre-tokenizer has the step {other:?}")),
        }
    }
    let kind = |step: &&Value| step["type"].as_str().unwrap_or_default().to_owned();
    if steps.iter().any(|step| step["type"] == "ByteLevel") {
        return match before.iter().map(kind).find(|kind| kind != "NFC") {
            Some(other) => lossy(format!("it normalises the text with the step {other:?}")),
            None => Ok(Spelling::ByteLevel),
        };
    }
    let spaces = |step: &&Value| {
        step["type"] == "Replace" && step["pattern"]["String"] == " " && step["content"] == String::from(SPACE)
    };
    if model["byte_fallback"] != true {
        return lossy("its entries do not spell bytes".into());
    }
    match before.iter().find(|step| !spaces(step)).map(kind) {
        None if before.is_empty() => lossy("it drops spaces".into()),
        None => Ok(Spelling::Pieces),
        Some(step) if step == "Prepend" => lossy("it puts a space before every text".into()),
        Some(other) => lossy(format!("it normalises the text with the step {other:?}")),
    }
}

/// Added tokens that are found in plain text must not swallow the blanks beside them.
fn check_added(added: &Value) -> Result<(), TokenizerError> {
    let added = added
        .as_array()
        .ok_or_else(|| wrong("its added tokens are not a list"))?;
    for token in added {
        let text = token["content"].as_str().unwrap_or_default();
        if text.is_empty() {
            return Err(wrong("an added token has no text"));
        }
        if token["special"] != true && (token["lstrip"] == true || token["rstrip"] == true) {
            return Err(TokenizerError::Lossy(format!(
                "the added token {text:?} swallows blanks"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn what_would_end_the_program_is_refused() {
        let told = |change: Value| {
            let mut file =
                json!({ "model": { "type": "BPE", "vocab": { "a": 0, "b": 1, "ab": 2 }, "merges": ["a b"] } });
            let model = file["model"].as_object_mut().unwrap();
            model.extend(change.as_object().unwrap().clone());
            check_model(&file["model"]).map_or_else(|e| e.to_string(), |()| String::new())
        };
        assert_eq!(told(json!({})), "");
        assert_eq!(told(json!({ "merges": [["a", "b"]], "dropout": null })), "");
        assert!(told(json!({ "type": "Unigram" })).contains("Unigram"));
        assert!(told(json!({ "merges": ["ab ab"] })).contains("has no entry"));
        assert!(told(json!({ "merges": ["ab"] })).contains("is not a pair"));
        assert!(told(json!({ "continuing_subword_prefix": "##" })).contains("prefix"));
        assert!(told(json!({ "vocab": { "a": u32::MAX } })).contains("below 4194304"));
        assert!(told(json!({ "dropout": 0.1 })).contains("dropout"));
        assert!(!told(json!({ "vocab": [] })).is_empty());
    }
}
