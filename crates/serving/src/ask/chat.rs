//! Bodies of `/v1/chat/completions`.

use drdiff_generation::openai::messages;
use serde_json::{Map, Value};

use super::fields::{kind, shared, switch};
use super::{Given, Route, Wanted};
use crate::error::{ApiError, ApiResult};
use crate::options::Options;
use crate::served::Served;

/// Reads a body.
pub(crate) fn chat(mut body: Map<String, Value>, served: &Served, options: &Options) -> ApiResult<Wanted> {
    let messages = messages(body.remove("messages"))?;
    let logprobs = switch(&mut body, "logprobs")?;
    if let Some(value) = body
        .remove("top_logprobs")
        .filter(|value| value.as_u64().is_none_or(|most| most > 20))
    {
        let words = format!(
            "`top_logprobs`: a whole number from 0 to 20 is wanted, not {}",
            kind(&value)
        );
        return Err(ApiError::bad("top_logprobs", words));
    }
    let shared = shared(body, served, options)?;
    if shared.gaps {
        let words = "`infill`: gaps are filled by /v1/completions";
        return Err(ApiError::bad("diffusion.infill", words));
    }
    Ok(Wanted {
        route: Route::Chat,
        given: vec![Given::Messages(messages)],
        suffix: None,
        gaps: false,
        n: shared.n,
        choices: shared.choices,
        stream: shared.stream,
        echo: false,
        logprobs,
        ignored: shared.ignored,
    })
}
