//! Frames of a stream: server-sent events without names, which is what all clients read.

use bytes::Bytes;
use serde_json::{Value, json};

use super::Sheet;
use crate::ask::Route;
use crate::served::Served;

/// What a chunk adds to a text.
pub(super) enum Delta<'a> {
    /// The answer begins.
    Begin,
    /// Nothing: the chunk tells something else.
    Nothing,
    /// Text.
    Text(&'a str),
}

/// Writes the chunks of an answer.
pub(super) struct Frames<'a> {
    pub(super) sheet: &'a Sheet,
    pub(super) served: &'a Served,
    /// Whether a chunk with the usage will come, which the others announce.
    pub(super) usage: bool,
}

impl Frames<'_> {
    /// A chunk of the text `index`.
    pub(super) fn chunk(
        &self,
        index: usize,
        delta: &Delta<'_>,
        finish: Option<&str>,
        logprobs: Value,
        diffusion: Value,
    ) -> Bytes {
        let mut choice = json!({ "index": index, "logprobs": logprobs, "finish_reason": finish });
        match self.sheet.route {
            Route::Completions => {
                choice["text"] = match delta {
                    Delta::Text(text) => json!(text),
                    Delta::Begin | Delta::Nothing => json!(""),
                }
            }
            Route::Chat => {
                choice["delta"] = match delta {
                    Delta::Begin => json!({ "role": "assistant", "content": "" }),
                    Delta::Nothing => json!({}),
                    Delta::Text(text) => json!({ "content": text }),
                }
            }
        }
        let mut chunk = self.head(json!([choice]));
        chunk["diffusion"] = diffusion;
        if self.usage {
            chunk["usage"] = Value::Null;
        }
        data(&chunk)
    }

    /// The chunk with the usage, behind all others.
    pub(super) fn usage(&self, usage: Value) -> Bytes {
        let mut chunk = self.head(json!([]));
        chunk["usage"] = usage;
        data(&chunk)
    }

    fn head(&self, choices: Value) -> Value {
        let object = match self.sheet.route {
            Route::Completions => "text_completion",
            Route::Chat => "chat.completion.chunk",
        };
        json!({
            "id": self.sheet.id, "object": object, "created": self.sheet.created, "model": self.served.name(),
            "system_fingerprint": self.served.fingerprint(), "choices": choices,
        })
    }
}

/// A frame of JSON.
pub(super) fn data(value: &Value) -> Bytes {
    format!("data: {value}\n\n").into()
}

/// The frame behind the last chunk.
pub(super) const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// A line that clients skip, so that nobody between takes the connection for dead.
pub(super) fn comment(words: &str) -> Bytes {
    format!(": {words}\n\n").into()
}
