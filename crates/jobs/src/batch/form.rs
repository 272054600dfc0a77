//! A request as it is read, and DrDiff's own form of it.

use std::collections::BTreeSet;

use drdiff_generation::Choices;
use drdiff_generation::settings::{SETTINGS, unknown_key};
use drdiff_generation::values::{tidied, tidy};
use serde_json::{Map, Value};

use super::Result;
use super::id::Fingerprint;
use super::input::InputFormat;
use super::wish::Wish;
use super::{openai, outline};

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
    pub(super) choices: Choices,
    pub(super) endpoint: Endpoint,
}

/// A line that is no usable request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unusable {
    /// The id that the line names all the same.
    pub(super) id: Option<String>,
    /// What is wrong, in a sentence.
    pub(super) reason: String,
}

/// Longest reason in bytes. Only what is quoted from a line makes one longer.
const LONGEST_REASON: usize = 600;

impl From<String> for Unusable {
    fn from(reason: String) -> Self {
        Self::of(None, reason)
    }
}

impl Unusable {
    fn of(id: Option<String>, mut reason: String) -> Self {
        if reason.len() > LONGEST_REASON {
            reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
            reason.push('…');
        }
        Self { id, reason }
    }
}

impl Form {
    /// Reads a line. Fields of OpenAI's lines without a meaning here are added to `ignored`.
    pub(super) fn read(line: &str, format: InputFormat, ignored: &mut BTreeSet<String>) -> Result<Self, Unusable> {
        let key = match format {
            InputFormat::Text => return Ok(Self::prompt(line.to_owned())),
            InputFormat::Drdiff => "id",
            InputFormat::OpenAi => "custom_id",
        };
        let map = match serde_json::from_str(line) {
            Ok(Value::Object(map)) => tidy(map),
            Ok(_) => {
                return Err("the line is JSON, but no object; write {\"prompt\": …}"
                    .to_owned()
                    .into());
            }
            Err(error) => {
                let id = outline::value_of(line, key).and_then(|value| id(value).ok());
                return Err(Unusable::of(id, no_json(line, &error)));
            }
        };
        let named = map.get(key).cloned().and_then(|value| id(value).ok());
        let form = match format {
            InputFormat::OpenAi => openai::read(map, ignored),
            _ => Self::drdiff(map),
        };
        form.map_err(|reason| Unusable::of(named, reason))
    }

    /// A prompt and nothing else.
    pub(super) fn prompt(text: String) -> Self {
        Self {
            id: None,
            wish: Wish::Prompt(text),
            choices: Choices::default(),
            endpoint: Endpoint::Completions,
        }
    }

    /// Hash of what is asked for, whatever the request is called.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        // Two strings, some numbers and names: always JSON.
        let content = serde_json::to_vec(&(&self.wish, &self.choices)).unwrap_or_default();
        Fingerprint::of(&content)
    }

    /// Reads DrDiff's own form: `id`, `prompt`, `infill` or `chat`, and any of the [`SETTINGS`].
    pub(super) fn drdiff(mut map: Map<String, Value>) -> Result<Self, String> {
        let id = map.remove("id").map(id).transpose()?;
        let Some(wish) = Wish::take(&mut map)? else {
            return Err(no_wish(&map));
        };
        if let Some(key) = unknown(&map) {
            return Err(unknown_key(key, keys()));
        }
        let choices = Choices::from_json(map)?;
        let idle: Vec<&str> = choices
            .settings()
            .filter(|setting| !setting.gaps)
            .map(|setting| setting.name)
            .collect();
        if matches!(wish, Wish::Infill(_)) && !idle.is_empty() {
            let (has, it) = if idle.len() == 1 {
                ("has", "it")
            } else {
                ("have", "them")
            };
            return Err(format!(
                "`{}` {has} no meaning beside `infill`, whose gaps say how much is written; leave {it} out",
                idle.join("`, `")
            ));
        }
        Ok(Self {
            id,
            wish,
            choices,
            endpoint: Endpoint::Completions,
        })
    }
}

/// The id of a line: text, or a whole number for convenience.
pub(super) fn id(value: Value) -> Result<String, String> {
    match tidied(value) {
        Value::String(id) if !id.is_empty() => Ok(id),
        Value::Number(id) if id.is_u64() || id.is_i64() => Ok(id.to_string()),
        _ => Err("the id must be text that is not empty, or a whole number".to_owned()),
    }
}

/// What to say about a line that is not JSON: where, and which word of a programming language stands there.
fn no_json(line: &str, error: &serde_json::Error) -> String {
    let told = error.to_string();
    let told = told.split(" at line ").next().unwrap_or_default();
    let at = error.column();
    if told.contains("recursion limit") {
        return "the line has values within values beyond all measure; a request is an object with a few fields"
            .to_owned();
    }
    let from = line.get(at.saturating_sub(1)..).unwrap_or_default();
    let sign = from.strip_prefix('-').unwrap_or(from);
    let word = &sign[..sign.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(sign.len())];
    match word {
        "NaN" | "Infinity" | "None" => {
            format!("the line is not JSON: {word} at column {at}; write null, or leave the field out")
        }
        _ => format!("the line is not JSON: {told} at column {at}"),
    }
}

/// What to say about a line without prompt: perhaps its key is mistyped.
fn no_wish(map: &Map<String, Value>) -> String {
    match unknown(map) {
        Some(key) => format!(
            "there is no `prompt`, `infill` or `chat`, and an {}",
            unknown_key(key, keys())
        ),
        None => "there is no `prompt`, `infill` or `chat`; give one".to_owned(),
    }
}

/// The first key that is no setting.
fn unknown(map: &Map<String, Value>) -> Option<&String> {
    map.keys()
        .find(|key| SETTINGS.iter().all(|setting| setting.name != **key))
}

fn keys() -> impl Iterator<Item = &'static str> + Clone {
    std::iter::once("id")
        .chain(Wish::KEYS)
        .chain(SETTINGS.iter().map(|setting| setting.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(line: &str, format: InputFormat) -> Result<Form, Unusable> {
        Form::read(line, format, &mut BTreeSet::new())
    }

    fn read(value: Value) -> Result<Form, String> {
        line(&value.to_string(), InputFormat::Drdiff).map_err(|unusable| unusable.reason)
    }

    #[test]
    fn nulls_are_absent_and_numbers_without_fraction_whole() {
        let form = read(json!({
            "id": null, "prompt": "a", "infill": null, "tokens": 8.0, "stop": null, "commit": null, "compute": 1.0,
        }));
        assert_eq!(form, read(json!({ "prompt": "a", "tokens": 8, "compute": 1 })));
        assert_eq!(
            read(json!({ "id": 7.0, "prompt": "a" })).unwrap().id.as_deref(),
            Some("7")
        );
        let seed = 9_007_199_254_740_993_u64;
        assert_eq!(
            read(json!({ "prompt": "a", "seed": seed }))
                .unwrap()
                .choices
                .get("seed"),
            Some(&json!(seed))
        );
        assert!(read(json!({ "prompt": null })).unwrap_err().contains("give one"));
    }

    #[test]
    fn unusable_lines_keep_their_id() {
        let of = |text: &str, format| line(text, format).unwrap_err();
        for text in [
            r#"{"id": "a", "promt": "x"}"#,
            r#"{"id": "a", "prompt": "x", "tokens": -1}"#,
            r#"{"id": "a", "prompt": "x", "seed": NaN}"#,
            r#"{"id": "a", "prompt": "x", "seed": 1e400}"#,
        ] {
            assert_eq!(of(text, InputFormat::Drdiff).id.as_deref(), Some("a"), "{text}");
            let theirs = text.replace("\"id\"", "\"custom_id\"");
            assert_eq!(of(&theirs, InputFormat::OpenAi).id.as_deref(), Some("a"), "{theirs}");
        }
        assert_eq!(
            of(r#"{"id": 7.0, "n": 1}"#, InputFormat::Drdiff).id.as_deref(),
            Some("7")
        );
        assert_eq!(
            of(r#"{"id": 7.0, "n": NaN}"#, InputFormat::Drdiff).id.as_deref(),
            Some("7")
        );
        assert_eq!(of(r#"{"id": true, "prompt": "x"}"#, InputFormat::Drdiff).id, None);
        let long = json!({ "id": "a", "prompt": "x", "é".repeat(1_000_000): 1 }).to_string();
        assert!(of(&long, InputFormat::Drdiff).reason.len() < 700);
        assert_eq!(of(r#"{"id": "half""#, InputFormat::Drdiff).id, None);
        let told = of(r#"{"id": "a", "seed": NaN}"#, InputFormat::Drdiff).reason;
        assert_eq!(
            told,
            "the line is not JSON: NaN at column 21; write null, or leave the field out"
        );
    }

    #[test]
    fn a_request_has_a_wish_and_settings() {
        let form = read(json!({ "id": 7, "infill": "a [[3]] b", "steps": 4, "seed": 9 })).unwrap();
        assert_eq!(form.id.as_deref(), Some("7"));
        assert_eq!(form.wish, Wish::Infill("a [[3]] b".into()));
        assert_eq!(form.choices, Choices::default().with("steps", 4).with("seed", 9));
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
            (json!({ "prompt": "a", "chat": "b" }), "exclude each other"),
            (json!({ "chta": "a" }), "did you mean `chat`?"),
            (json!({ "prompt": ["a"] }), "must be text"),
            (json!({ "prompt": "a", "id": "" }), "the id must be text"),
            (json!({ "prompt": "a", "id": 7.5 }), "the id must be text"),
            (
                json!({ "prompt": "a", "temperature": "hot" }),
                "`temperature`: a number is wanted, not \"hot\"",
            ),
            (
                json!({ "prompt": "a", "tokens": 8.5 }),
                "`tokens`: a whole number is wanted, not 8.5",
            ),
            (
                json!({ "prompt": "a", "commit": 3 }),
                "`commit`: the name of a schedule",
            ),
            (
                json!({ "prompt": "a", "commit": { "type": "margins" } }),
                "unknown name `margins`",
            ),
            (
                json!({ "prompt": "a", "commit": { "type": false } }),
                "`commit`: a name is wanted, not false",
            ),
            (
                json!({ "prompt": "a", "compute": true }),
                "`compute`: a number, or \"auto\", is wanted, not true",
            ),
            (
                json!({ "infill": "a [[3]]", "stop": "b" }),
                "`stop` has no meaning beside `infill`",
            ),
            (json!({ "infill": "a [[3]]", "tokens": 8 }), "`tokens` has no meaning"),
            (json!({}), "no `prompt`, `infill` or `chat`; give one"),
        ] {
            let error = read(value).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
