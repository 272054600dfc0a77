//! What the tokenizer library takes on trust in a `tokenizer.json`: asked before the file is handed to it.

use std::collections::HashMap;

use serde::Deserialize;

use crate::TokenizerError;

/// The most ids that a vocabulary may have.
const MOST_IDS: u32 = 1 << 22;

#[derive(Deserialize)]
struct File {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    dropout: Option<f64>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    vocab: HashMap<String, u32>,
    #[serde(default)]
    merges: Vec<Merge>,
}

/// Two entries that become one, in the newer form and in the older.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

/// Asks whether a `tokenizer.json` holds a BPE that gives the same ids every time, whose merges make entries of its vocabulary and
/// whose ids are few enough for a table. Files that do not would end the program, or be read wrongly.
///
/// # Errors
/// If it is not so, or the file is no such JSON.
pub fn check_bpe(json: &[u8]) -> Result<(), TokenizerError> {
    let wrong = |what: String| Err(TokenizerError::Format(what));
    let file = serde_json::from_slice(json);
    let File { model } = file.map_err(|e| TokenizerError::Format(e.to_string()))?;
    if model.kind.as_deref() != Some("BPE") {
        let kind = model.kind.unwrap_or_default();
        return wrong(format!("its model is of the type `{kind}` and not `BPE`"));
    }
    if model.dropout.is_some_and(|share| share != 0.0) {
        return wrong("its `dropout` gives other ids every time".to_owned());
    }
    if model.continuing_subword_prefix.is_some_and(|prefix| !prefix.is_empty()) {
        return wrong("its entries have a `continuing_subword_prefix`".to_owned());
    }
    if let Some((entry, id)) = model.vocab.iter().find(|(_, id)| **id >= MOST_IDS) {
        return wrong(format!(
            "its entry {entry:?} has the id {id}, and there are at most {MOST_IDS}"
        ));
    }
    let known = |entry: &str| model.vocab.contains_key(entry);
    for merge in &model.merges {
        let parts = match merge {
            Merge::Pair(left, right) => Some((left.as_str(), right.as_str())),
            // A comment of the older form.
            Merge::Line(line) if line.starts_with("#version") => continue,
            Merge::Line(line) => line.split_once(' '),
        };
        let makes = |(left, right): (&str, &str)| known(left) && known(right) && known(&format!("{left}{right}"));
        if !parts.is_some_and(makes) {
            return wrong(format!("its merge {parts:?} does not make an entry of its vocabulary"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use serde_json::json;

    use super::*;

    #[test]
    fn what_would_end_the_program_is_refused() {
        let told = |change: serde_json::Value| {
            let mut file =
                json!({ "model": { "type": "BPE", "vocab": { "a": 0, "b": 1, "ab": 2 }, "merges": ["a b"] } });
            let model = file["model"].as_object_mut().unwrap();
            model.extend(change.as_object().unwrap().clone());
            check_bpe(file.to_string().as_bytes()).map_or_else(|e| e.to_string(), |()| String::new())
        };
        assert_eq!(told(json!({})), "");
        assert_eq!(told(json!({ "merges": [["a", "b"]], "dropout": null })), "");
        assert!(told(json!({ "type": "Unigram" })).contains("`Unigram`"));
        assert!(told(json!({ "merges": ["ab ab"] })).contains("does not make"));
        assert!(told(json!({ "merges": ["ab"] })).contains("does not make"));
        assert!(told(json!({ "continuing_subword_prefix": "##" })).contains("prefix"));
        assert!(told(json!({ "vocab": { "a": u32::MAX } })).contains("4294967295"));
        assert!(told(json!({ "dropout": 0.1 })).contains("dropout"));
        assert!(!told(json!({ "vocab": [] })).is_empty());
    }
}
