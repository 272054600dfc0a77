//! Logarithms of probabilities, in the forms of both routes.

use drdiff_data::Tokenizer;
use drdiff_generation::Scored;
use serde_json::{Map, Value, json};

use crate::ask::Route;

/// A token with the logarithm of its probability: behind all before it for given text, and when it was committed for written text.
/// Nobody knows it for the first token of a prompt.
struct Entry {
    token: u32,
    log_prob: Option<f64>,
    likeliest: Option<(u32, f64)>,
}

/// The tokens of a text, and where the next one begins in it, in characters.
pub(super) struct LogProbs {
    entries: Vec<Entry>,
    offset: usize,
}

impl LogProbs {
    /// Of no tokens yet, in a text that goes on at the character `offset`.
    pub(super) fn at(offset: usize) -> Self {
        Self {
            entries: Vec::new(),
            offset,
        }
    }

    /// Adds the tokens of a prompt, of which the last ones are scored.
    pub(super) fn given(mut self, ids: &[u32], scores: &[Scored]) -> Self {
        let unknown = ids.len().saturating_sub(scores.len()).max(1).min(ids.len());
        let first = ids[..unknown].iter().map(|token| Entry {
            token: *token,
            log_prob: None,
            likeliest: None,
        });
        let known = &scores[scores.len().saturating_sub(ids.len() - unknown)..];
        let known = known.iter().map(|score| Entry {
            token: score.token,
            log_prob: Some(score.log_prob),
            likeliest: Some(score.likeliest),
        });
        self.entries.extend(first.chain(known));
        self
    }

    /// Adds tokens that were written.
    pub(super) fn written(mut self, ids: &[u32], probabilities: &[Option<f64>]) -> Self {
        let entries = ids.iter().zip(probabilities).map(|(token, p)| Entry {
            token: *token,
            log_prob: p.map(f64::ln),
            likeliest: None,
        });
        self.entries.extend(entries);
        self
    }

    /// The object of a route, and where the next token begins.
    pub(super) fn object(&self, route: Route, tokenizer: &Tokenizer) -> (Value, usize) {
        match route {
            Route::Completions => self.completion(tokenizer),
            Route::Chat => (self.chat(tokenizer), self.offset),
        }
    }

    fn completion(&self, tokenizer: &Tokenizer) -> (Value, usize) {
        let (mut tokens, mut tops, mut offsets) = (Vec::new(), Vec::new(), Vec::new());
        let mut offset = self.offset;
        for entry in &self.entries {
            let text = spelled(entry.token, tokenizer);
            offsets.push(offset);
            offset += text.chars().count();
            let mut top = Map::new();
            top.extend(entry.log_prob.map(|log| (text.clone(), json!(log))));
            // Parts of characters are spelled alike, and the likelier one counts.
            top.extend(
                entry
                    .likeliest
                    .map(|(token, log)| (spelled(token, tokenizer), json!(log))),
            );
            tops.push(entry.log_prob.map(|_| top));
            tokens.push(text);
        }
        let logs: Vec<Option<f64>> = self.entries.iter().map(|entry| entry.log_prob).collect();
        let object = json!({ "tokens": tokens, "token_logprobs": logs, "top_logprobs": tops, "text_offset": offsets });
        (object, offset)
    }

    fn chat(&self, tokenizer: &Tokenizer) -> Value {
        let content = self.entries.iter().map(|entry| {
            let bytes = tokenizer.bytes_of(entry.token);
            let token = spelled(entry.token, tokenizer);
            json!({ "token": token, "logprob": entry.log_prob, "bytes": bytes, "top_logprobs": [] })
        });
        json!({ "content": content.collect::<Vec<_>>(), "refusal": null })
    }
}

/// A token as text; parts of characters are replaced.
fn spelled(token: u32, tokenizer: &Tokenizer) -> String {
    String::from_utf8_lossy(tokenizer.bytes_of(token)).into_owned()
}
