//! What the object `diffusion` of an answer tells.

use drdiff_generation::StopReason;
use serde_json::{Map, Value, json};

use super::Sheet;
use crate::ask::Text;
use crate::served::Served;
use crate::work::{Finished, Passed, Written};

/// Digits behind the point of a probability that is shown.
const DIGITS: f64 = 1e4;

/// A probability as it is shown.
pub(super) fn rounded(p: f64) -> f64 {
    (p * DIGITS).round() / DIGITS
}

/// How a text is written, said when it has a slot.
pub(super) fn start(sheet: &Sheet, text: &Text, served: &Served, queue: f64) -> Map<String, Value> {
    let settings = &text.request.settings;
    let mut start = map(json!({
        "seed": settings.seed, "block_size": settings.block_size, "steps": settings.sampler.steps,
        "process": settings.sampler.process.name(), "model_hash": served.hash,
        "prompt_tokens": text.prompt_tokens, "queue_seconds": queue,
    }));
    if let Some(note) = &sheet.note {
        start.insert("note".to_owned(), json!(note));
    }
    if !sheet.ignored.is_empty() {
        start.insert("ignored".to_owned(), json!(sheet.ignored));
    }
    start
}

/// What a text has cost, said when it is complete.
pub(super) fn done(text: &Text, finished: &Finished, stop: StopReason, spans: Option<&Value>) -> Map<String, Value> {
    let (output, seconds) = (&finished.output, &finished.seconds);
    let mut done = map(json!({
        "nfe": output.nfe, "tokens_committed": output.committed_tokens, "canvas_tokens": output.canvas_tokens, "flops": output.flops,
        "seconds": { "queue": seconds.queue, "first_block": seconds.first_block, "total": seconds.total },
        "stop_reason": stop.name(), "settings": text.request.settings,
    }));
    if let Some(spans) = spans {
        done.insert("spans".to_owned(), spans.clone());
    }
    done
}

/// A block that is written.
pub(super) fn block(written: &Written) -> Map<String, Value> {
    map(json!({
        "block": written.block, "nfe": written.nfe, "steps": written.steps,
        "tokens": [written.from, written.from + written.ids.len()], "seconds": written.seconds,
    }))
}

/// Where a block stands after a pass; what has changed in it is said beside.
pub(super) fn step(passed: &Passed, steps: usize) -> Map<String, Value> {
    map(json!({
        "block": passed.block, "step": passed.step, "steps": steps, "nfe": passed.nfe, "start": passed.start,
    }))
}

/// An event of a stream.
pub(super) fn event(name: &str, mut fields: Map<String, Value>) -> Value {
    fields.insert("event".to_owned(), json!(name));
    Value::Object(fields)
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
