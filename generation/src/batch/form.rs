//! A request as it is read, and DrDiff's own form of it.

use drdiff_model::Tokenizer;
use serde::Serialize;
use serde_json::{Map, Value};

use super::id::Fingerprint;
use crate::overrides::unknown_key;
use crate::{Overrides, Result, Task};

/// What is to be written, as text.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Wish {
    /// The text goes on behind it.
    Prompt(String),
    /// Its gaps are filled.
    Infill(String),
}

impl Wish {
    /// The wish in token ids.
    pub(super) fn task(&self, tokenizer: &Tokenizer) -> Result<Task> {
        match self {
            Self::Prompt(text) => Task::behind(text, tokenizer),
            Self::Infill(text) => Task::within(text, tokenizer),
        }
    }
}

/// How a request came, which decides how the OpenAI form answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Completions,
    Chat,
}

/// A request that was read from a line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Form {
    /// The id that the line names.
    pub(super) id: Option<String>,
    pub(super) wish: Wish,
    pub(super) overrides: Overrides,
    pub(super) endpoint: Endpoint,
}

impl Form {
    /// A prompt and nothing else.
    pub(super) fn prompt(text: String) -> Self {
        Self {
            id: None,
            wish: Wish::Prompt(text),
            overrides: Overrides::default(),
            endpoint: Endpoint::Completions,
        }
    }

    /// Hash of what is asked for, whatever the request is called.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        // Two strings, some numbers and names: always JSON.
        let content = serde_json::to_vec(&(&self.wish, &self.overrides)).unwrap_or_default();
        Fingerprint::of(&content)
    }

    /// Reads DrDiff's own form: `id`, `prompt` or `infill`, and any of [`Overrides::KEYS`].
    pub(super) fn drdiff(mut map: Map<String, Value>) -> Result<Self, String> {
        let id = map.remove("id").map(id).transpose()?;
        let wish = match (map.remove("prompt"), map.remove("infill")) {
            (Some(Value::String(text)), None) => Wish::Prompt(text),
            (None, Some(Value::String(text))) => Wish::Infill(text),
            (Some(_), Some(_)) => return Err("`prompt` and `infill` exclude each other; give one".to_owned()),
            (None, None) => return Err(no_wish(&map)),
            _ => return Err("`prompt` and `infill` must be text".to_owned()),
        };
        if let Some(key) = map.keys().find(|key| !Overrides::KEYS.contains(&key.as_str())) {
            return Err(unknown_key(key, &keys()));
        }
        Ok(Self {
            id,
            wish,
            overrides: Overrides::from_json(map)?,
            endpoint: Endpoint::Completions,
        })
    }
}

/// The id of a line: text, or a whole number for convenience.
pub(super) fn id(value: Value) -> Result<String, String> {
    match value {
        Value::String(id) if !id.is_empty() => Ok(id),
        Value::Number(id) if id.is_u64() || id.is_i64() => Ok(id.to_string()),
        _ => Err("the id must be text that is not empty, or a whole number".to_owned()),
    }
}

/// What to say about a line without prompt: perhaps its key is mistyped.
fn no_wish(map: &Map<String, Value>) -> String {
    let unknown = map.keys().find(|key| !Overrides::KEYS.contains(&key.as_str()));
    match unknown {
        Some(key) => format!(
            "there is neither `prompt` nor `infill`, and an {}",
            unknown_key(key, &keys())
        ),
        None => "there is neither `prompt` nor `infill`; give one".to_owned(),
    }
}

fn keys() -> Vec<&'static str> {
    ["id", "prompt", "infill"].into_iter().chain(Overrides::KEYS).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Form, String> {
        match value {
            Value::Object(map) => Form::drdiff(map),
            _ => unreachable!("the tests give objects"),
        }
    }

    #[test]
    fn a_request_has_a_wish_and_settings() {
        let form = read(json!({ "id": 7, "infill": "a [[3]] b", "steps": 4, "seed": 9 })).unwrap();
        assert_eq!(form.id.as_deref(), Some("7"));
        assert_eq!(form.wish, Wish::Infill("a [[3]] b".into()));
        assert_eq!((form.overrides.steps, form.overrides.seed), (Some(4), Some(9)));
    }

    #[test]
    fn fingerprints_tell_wishes_and_settings_apart_but_not_ids() {
        let print = |value| read(value).unwrap().fingerprint();
        let base = print(json!({ "prompt": "a" }));
        assert_eq!(base, print(json!({ "prompt": "a", "id": "x" })));
        assert_eq!(base, Form::prompt("a".into()).fingerprint());
        assert_ne!(base, print(json!({ "prompt": "b" })));
        assert_ne!(base, print(json!({ "infill": "a" })));
        assert_ne!(base, print(json!({ "prompt": "a", "tokens": 5 })));
    }

    #[test]
    fn wrong_lines_are_explained() {
        for (value, words) in [
            (json!({ "promt": "a" }), "did you mean `prompt`?"),
            (json!({ "prompt": "a", "token": 3 }), "did you mean `tokens`?"),
            (json!({ "prompt": "a", "infill": "b" }), "exclude each other"),
            (json!({ "prompt": ["a"] }), "must be text"),
            (json!({ "prompt": "a", "id": "" }), "the id must be text"),
            (
                json!({ "prompt": "a", "temperature": "hot" }),
                "`temperature`: invalid type",
            ),
            (json!({}), "neither `prompt` nor `infill`; give one"),
        ] {
            let error = read(value).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
