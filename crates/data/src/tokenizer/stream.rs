//! Text of ids that arrive one by one.

use super::Tokenizer;

/// Decodes a growing sequence of ids; never emits half a character.
#[derive(Clone, Debug)]
pub struct DecodeStream {
    tokenizer: Tokenizer,
    /// At most three bytes of a character that is not complete yet.
    held: Vec<u8>,
}

impl DecodeStream {
    /// A stream that has seen nothing.
    pub(super) fn new(tokenizer: Tokenizer) -> Self {
        Self {
            tokenizer,
            held: Vec::new(),
        }
    }

    /// Adds `ids` and returns the text that is complete by now.
    pub fn push(&mut self, ids: &[u32]) -> String {
        for &id in ids {
            self.held.extend_from_slice(self.tokenizer.bytes_of(id));
        }
        let incomplete = incomplete_suffix(&self.held);
        let rest = self.held.split_off(self.held.len() - incomplete);
        let text = String::from_utf8_lossy(&self.held).into_owned();
        self.held = rest;
        text
    }

    /// The text of what is still held back: empty, or U+FFFD for a character that never became complete.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.held).into_owned()
    }
}

/// Length of the unfinished character at the end of `bytes` (0 to 3); bytes that can never become one count as finished.
fn incomplete_suffix(bytes: &[u8]) -> usize {
    (1..=bytes.len().min(3))
        .find(|&n| {
            let tail = &bytes[bytes.len() - n..];
            std::str::from_utf8(tail).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
        })
        .unwrap_or(0)
}
