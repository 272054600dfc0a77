//! Fields that completions and chats share: which are honoured, which refused, and which change nothing.

use drdiff_generation::openai::{FieldError, choices};
use drdiff_generation::settings::{SETTINGS, unknown_key};
use drdiff_generation::{Choices, Error as GenerationError};
use serde_json::{Map, Value};

use super::Streamed;
use super::stream::{OWN, take_stream};
use crate::error::{ApiError, ApiResult};
use crate::options::Options;
use crate::served::Served;

/// Fields that change nothing here, and that nobody has to be told about.
const HARMLESS: [&str; 5] = ["user", "metadata", "store", "service_tier", "parallel_tool_calls"];

/// Fields that would change the answer, and what to say of them.
const REFUSED: [(&str, &str); 7] = [
    ("tools", "tools cannot be called; leave it out"),
    ("tool_choice", "tools cannot be called; leave it out"),
    ("functions", "functions cannot be called; leave it out"),
    ("function_call", "functions cannot be called; leave it out"),
    ("logit_bias", "single tokens cannot be made likelier; leave it out"),
    ("modalities", "only text is written; leave it out"),
    ("response_format", "only free text is written; leave it out"),
];

/// OpenAI's penalties. Clients send 0 without being asked, which would switch the model's own guard against repetition off.
const PENALTIES: [&str; 2] = ["frequency_penalty", "presence_penalty"];

/// Most texts of one prompt.
const MOST: u64 = 16;

/// What both kinds of bodies say.
pub(super) struct Shared {
    pub(super) n: usize,
    pub(super) choices: Choices,
    pub(super) stream: Option<Streamed>,
    pub(super) gaps: bool,
    pub(super) ignored: Vec<String>,
}

/// Takes the fields that both kinds of bodies have out of `body`; the fields that are left have no meaning.
pub(super) fn shared(mut body: Map<String, Value>, served: &Served, options: &Options) -> ApiResult<Shared> {
    if let Some(model) = body.remove("model") {
        let name = model
            .as_str()
            .ok_or_else(|| ApiError::bad("model", "`model`: a name is wanted"))?;
        served.called(name)?;
    }
    refuse(&mut body)?;
    let n = count(&mut body)?;
    let (stream, gaps) = take_stream(&mut body)?;
    let unknown = body.get("diffusion").and_then(Value::as_object).and_then(|own| {
        let known = |key: &&String| SETTINGS.iter().any(|setting| setting.name == key.as_str());
        own.keys().find(|key| !known(key))
    });
    if let Some(key) = unknown {
        let names = SETTINGS.iter().map(|setting| setting.name).chain(OWN);
        return Err(FieldError::new(format!("diffusion.{key}"), unknown_key(key, names)).into());
    }
    let choices = choices(&mut body)?;
    check(&choices, served, options, gaps)?;
    body.retain(|key, _| !HARMLESS.contains(&key.as_str()));
    Ok(Shared {
        n,
        choices,
        stream,
        gaps,
        ignored: body.into_iter().map(|(key, _)| key).collect(),
    })
}

fn refuse(body: &mut Map<String, Value>) -> ApiResult<()> {
    for (field, words) in REFUSED {
        let idle = |value: &Value| match value {
            Value::Array(list) => list.is_empty() || (field == "modalities" && *list == ["text"]),
            Value::Object(map) => {
                map.is_empty() || (field == "response_format" && map.get("type") == Some(&"text".into()))
            }
            Value::String(word) => {
                matches!(word.as_str(), "" | "none" | "auto") && field.ends_with("_choice") || word.is_empty()
            }
            _ => false,
        };
        if body.remove(field).is_some_and(|value| !idle(&value)) {
            return Err(ApiError::bad(field, format!("`{field}`: {words}")));
        }
    }
    for field in PENALTIES {
        if body.remove(field).is_some_and(|value| value.as_f64() != Some(0.0)) {
            let words =
                "OpenAI's formula is not served, and 0 stands for the default; use `diffusion.frequency_penalty`";
            return Err(ApiError::bad(field, format!("`{field}`: {words}")));
        }
    }
    Ok(())
}

/// The number of texts for each prompt.
fn count(body: &mut Map<String, Value>) -> ApiResult<usize> {
    let mut number = |field: &'static str| match body.remove(field) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(n @ 1..=MOST) => Ok(Some(n)),
            _ => Err(ApiError::bad(
                field,
                format!("`{field}`: a whole number from 1 to {MOST} is wanted, not {value}"),
            )),
        },
    };
    let (n, best) = (number("n")?.unwrap_or(1), number("best_of")?);
    if best.is_some_and(|best| best > n) {
        return Err(ApiError::bad(
            "best_of",
            "`best_of`: texts are not chosen among; ask for all with `n`",
        ));
    }
    Ok(n as usize)
}

/// Refuses numbers that no text can have, before anything is tokenized.
fn check(choices: &Choices, served: &Served, options: &Options, gaps: bool) -> ApiResult<()> {
    let tokens = choices.get("tokens").and_then(Value::as_u64);
    if let Some(tokens) = tokens.filter(|tokens| *tokens > options.max_tokens as u64) {
        let most = options.max_tokens;
        let message = format!("`max_tokens`: {tokens} is more than the {most} that the server writes; ask for fewer");
        return Err(ApiError::bad("max_tokens", message));
    }
    let refused = |error: GenerationError| ApiError::of_engine(&error, choices);
    let settings = choices.over(&served.choices).resolve(served.kind()).map_err(refused)?;
    if !gaps {
        settings.check_steps().map_err(refused)?;
    }
    Ok(())
}

/// A switch.
pub(super) fn switch(body: &mut Map<String, Value>, field: &'static str) -> ApiResult<bool> {
    match body.remove(field) {
        None => Ok(false),
        Some(Value::Bool(on)) => Ok(on),
        Some(value) => Err(ApiError::bad(
            field,
            format!("`{field}`: true or false is wanted, not {}", kind(&value)),
        )),
    }
}

/// What a value is, in words.
pub(super) fn kind(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(_) => "text".to_owned(),
        other => other.to_string(),
    }
}
