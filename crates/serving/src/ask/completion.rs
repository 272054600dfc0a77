//! Bodies of `/v1/completions`.

use serde_json::{Map, Value};

use super::fields::{kind, shared, switch};
use super::{Given, Route, Wanted};
use crate::error::{ApiError, ApiResult};
use crate::options::Options;
use crate::served::Served;

/// Most alternatives that OpenAI gives for a token; here there is one, so that more may be asked for and none are given.
const ALTERNATIVES: u64 = 5;

/// Reads a body.
pub(crate) fn completion(mut body: Map<String, Value>, served: &Served, options: &Options) -> ApiResult<Wanted> {
    let given = prompts(body.remove("prompt"))?;
    let suffix = match body.remove("suffix") {
        None => None,
        Some(Value::String(text)) => Some(text).filter(|text| !text.is_empty()),
        Some(value) => {
            return Err(ApiError::bad(
                "suffix",
                format!("`suffix`: a text is wanted, not {}", kind(&value)),
            ));
        }
    };
    let echo = switch(&mut body, "echo")?;
    let logprobs = match body.remove("logprobs") {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(value) => match value.as_u64() {
            Some(0..=ALTERNATIVES) => true,
            _ => {
                let words = format!(
                    "`logprobs`: a whole number from 0 to {ALTERNATIVES} is wanted, not {}",
                    kind(&value)
                );
                return Err(ApiError::bad("logprobs", words));
            }
        },
    };
    let shared = shared(body, served, options)?;
    let refused = match (&suffix, shared.gaps, echo) {
        (Some(_), true, _) => Some(("suffix", "`suffix` and `diffusion.infill` exclude each other; give one")),
        (Some(_), _, true) | (_, true, true) => {
            Some(("echo", "`echo` has no meaning for texts that are filled; leave it out"))
        }
        _ => None,
    };
    if let Some((field, words)) = refused {
        return Err(ApiError::bad(field, words));
    }
    if shared.gaps && given.iter().any(|given| !matches!(given, Given::Text(_))) {
        return Err(ApiError::bad(
            "prompt",
            "`prompt`: gaps are written in a text, not in token ids",
        ));
    }
    Ok(Wanted {
        route: Route::Completions,
        given,
        suffix,
        gaps: shared.gaps,
        n: shared.n,
        choices: shared.choices,
        stream: shared.stream,
        echo,
        logprobs,
        ignored: shared.ignored,
    })
}

/// One prompt or several, as text or as token ids.
fn prompts(value: Option<Value>) -> ApiResult<Vec<Given>> {
    let wrong = |words: String| ApiError::bad("prompt", format!("`prompt`: {words}"));
    match value {
        None => Err(wrong("there is none; give a text".to_owned())),
        Some(Value::String(text)) => Ok(vec![Given::Text(text)]),
        Some(Value::Array(list)) if list.is_empty() => Err(wrong("the list is empty; give a text".to_owned())),
        Some(Value::Array(list)) if list[0].is_number() => Ok(vec![Given::Ids(ids(&list).map_err(wrong)?)]),
        Some(Value::Array(list)) => {
            let read = |value: Value| match value {
                Value::String(text) => Ok(Given::Text(text)),
                Value::Array(list) => ids(&list).map(Given::Ids),
                other => Err(format!("texts or lists of token ids are wanted, not {}", kind(&other))),
            };
            list.into_iter().map(read).collect::<Result<_, _>>().map_err(wrong)
        }
        Some(other) => Err(wrong(format!(
            "a text, token ids, or a list of them is wanted, not {}",
            kind(&other)
        ))),
    }
}

/// Token ids.
pub(crate) fn ids(list: &[Value]) -> Result<Vec<u32>, String> {
    let id = |value: &Value| {
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| format!("a token id is wanted, not {}", kind(value)))
    };
    list.iter().map(id).collect()
}
