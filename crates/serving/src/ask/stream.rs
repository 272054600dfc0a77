//! How an answer is wanted: whole or streamed, with provisional text or without, for texts with gaps.

use std::time::Duration;

use drdiff_generation::openai::FieldError;
use serde_json::{Map, Value};

use super::Streamed;
use super::fields::{kind, switch};
use crate::error::{ApiError, ApiResult};

/// Keys under `diffusion` that are no settings of writing.
pub(super) const OWN: [&str; 3] = ["stream", "interval_ms", "infill"];

/// Least time between two events with provisional text, in milliseconds.
const INTERVAL: u64 = 40;

/// Takes out how the answer is streamed, and whether the texts have gaps.
pub(super) fn take_stream(body: &mut Map<String, Value>) -> ApiResult<(Option<Streamed>, bool)> {
    let streams = switch(body, "stream")?;
    let usage = match body.remove("stream_options") {
        None => false,
        Some(Value::Object(mut options)) => switch(&mut options, "include_usage")?,
        Some(_) => return Err(ApiError::bad("stream_options", "`stream_options` must be an object")),
    };
    // Mercury's name for it.
    let mut steps = switch(body, "diffusing")?;
    let (mut interval, mut gaps) = (INTERVAL, false);
    if let Some(Value::Object(own)) = body.get_mut("diffusion") {
        let [stream, every, infill] = OWN.map(|key| own.remove(key));
        let wrong = |key: &str, words: String| FieldError::new(format!("diffusion.{key}"), format!("`{key}`: {words}"));
        match stream.as_ref().map(|value| value.as_str()) {
            None => {}
            Some(Some("steps")) => steps = true,
            Some(Some("blocks")) => steps = false,
            Some(_) => return Err(wrong("stream", "\"blocks\" or \"steps\" is wanted".to_owned()).into()),
        }
        if let Some(every) = every {
            let words = || format!("a whole number from 0 to 60000 is wanted, not {}", kind(&every));
            interval = every
                .as_u64()
                .filter(|ms| *ms <= 60_000)
                .ok_or_else(|| wrong("interval_ms", words()))?;
        }
        gaps = match infill {
            None => false,
            Some(Value::Bool(gaps)) => gaps,
            Some(value) => {
                return Err(wrong("infill", format!("true or false is wanted, not {}", kind(&value))).into());
            }
        };
    }
    let steps = steps.then(|| Duration::from_millis(interval));
    Ok((streams.then_some(Streamed { usage, steps }), gaps))
}
