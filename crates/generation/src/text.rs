//! The text of a sequence as it grows: ids, characters, and where it stops.

use drdiff_data::{DecodeStream, Tokenizer};

use crate::Task;
use crate::stop::StopStrings;

/// What is written of a text, without its prompt.
pub(crate) struct Text {
    ids: Vec<u32>,
    text: String,
    stream: DecodeStream,
    stop: StopStrings,
    /// The space before the text stands in the prompt, and no text is written yet.
    spaced: bool,
    /// Bytes of that space that were written and are not in the text.
    dropped: usize,
}

impl Text {
    /// Nothing of the text of `task`, which ends before any of the strings `stops`.
    pub(crate) fn new(task: &Task, stops: &[String], tokenizer: &Tokenizer) -> Self {
        Self {
            ids: Vec::new(),
            text: String::new(),
            stream: tokenizer.decode_stream(),
            stop: StopStrings::new(stops, task),
            spaced: matches!(task, Task::Continue(prompt) if prompt.space),
            dropped: 0,
        }
    }

    /// Its token ids so far.
    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Takes in tokens, the last ones if it is `complete`: the text that is certain now, and whether a stop string ends it.
    pub(crate) fn push(&mut self, tokens: &[u32], complete: bool, tokenizer: &Tokenizer) -> (String, bool) {
        let mut text = self.stream.push(tokens);
        if complete {
            // A character that stays incomplete is part of the text, as it is when all ids are decoded at once.
            text.push_str(&self.stream.clone().finish());
        }
        if self.spaced && !text.is_empty() {
            self.spaced = false;
            self.dropped = usize::from(text.starts_with(' '));
            text.drain(..self.dropped);
        }
        let (mut text, stopped) = self.stop.push(&text);
        if complete && !stopped {
            text.push_str(&self.stop.finish());
        }
        self.ids.extend_from_slice(tokens);
        self.text.push_str(&text);
        while stopped && tokenizer.decode(&self.ids).len() > self.dropped + self.text.len() {
            self.ids.pop();
        }
        (text, stopped)
    }

    /// The text and its ids.
    pub(crate) fn take(&mut self) -> (String, Vec<u32>) {
        (std::mem::take(&mut self.text), std::mem::take(&mut self.ids))
    }
}
