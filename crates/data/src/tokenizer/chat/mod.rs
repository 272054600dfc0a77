//! Conversations become ids: the chat templates of Hugging Face, in the language Jinja.
//!
//! A template writes one text with the markup of special tokens in it. Its own markup becomes special ids; text of a
//! message that looks like markup stays text, because it is marked before the template sees it (`guard`).

mod date;
mod guard;
mod json;
mod language;

use std::collections::BTreeMap;

use minijinja::value::Serde;
use minijinja::{Environment, Value};

use super::{GgufMetadata, Tokenizer, TokenizerError, TokenizerFiles};
use guard::Guard;

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A turn of `role`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
        }
    }
}

/// A model's way to write down a conversation.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    source: String,
    environment: Environment<'static>,
    tokenizer: Tokenizer,
    options: BTreeMap<String, serde_json::Value>,
}

impl ChatTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// If it is not written in the language of templates.
    pub fn new(source: &str, tokenizer: &Tokenizer) -> Result<Self, TokenizerError> {
        Ok(Self {
            environment: language::environment(source)?,
            source: source.to_owned(),
            tokenizer: tokenizer.clone(),
            options: BTreeMap::new(),
        })
    }

    /// The template of a Hugging Face folder: `chat_template.jinja`, or `chat_template` in `tokenizer_config.json`.
    ///
    /// # Errors
    /// [`TokenizerError::NoTemplate`] if the folder has none, and as [`ChatTemplate::new`].
    pub fn from_files(files: &TokenizerFiles, tokenizer: &Tokenizer) -> Result<Self, TokenizerError> {
        Self::new(&files.template()?.ok_or(TokenizerError::NoTemplate)?, tokenizer)
    }

    /// The template of a GGUF file: `tokenizer.chat_template`.
    ///
    /// # Errors
    /// As [`ChatTemplate::from_files`].
    pub fn from_gguf(metadata: &impl GgufMetadata, tokenizer: &Tokenizer) -> Result<Self, TokenizerError> {
        let source = metadata.text("tokenizer.chat_template");
        Self::new(source.ok_or(TokenizerError::NoTemplate)?, tokenizer)
    }

    /// Gives the template a value that its model's card names, such as `enable_thinking` of Qwen3; default: none.
    #[must_use]
    pub fn with_option(mut self, name: impl Into<String>, value: serde_json::Value) -> Self {
        self.options.insert(name.into(), value);
        self
    }

    /// Tells templates that ask for the date what it is, in seconds since 1970 (UTC). Default: 26 July 2024, the day
    /// that Llama 3's own template falls back to, so that equal conversations give equal ids on every day.
    #[must_use]
    pub fn with_time(mut self, seconds: i64) -> Self {
        language::set_time(&mut self.environment, seconds);
        self
    }

    /// The source of the template.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Ids of a conversation; with `add_generation_prompt` they end where the assistant's answer begins.
    ///
    /// The markup of the template becomes special ids, and markup in `messages` is plain text.
    ///
    /// # Errors
    /// If the template fails, refuses the conversation (many want turns to alternate), or works without end.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Vec<u32>, TokenizerError> {
        let guard = self.guard(messages)?;
        let text = self.text(messages, add_generation_prompt, &guard)?;
        let mut ids = Vec::new();
        for piece in guard.pieces(&text) {
            match piece {
                guard::Piece::Special(id) => ids.push(id),
                guard::Piece::Plain(text) => ids.extend(self.tokenizer.encode(&text)?),
            }
        }
        Ok(ids)
    }

    /// The text that the template writes, for people to look at: markup of the template and of messages look alike.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn render_text(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, TokenizerError> {
        let guard = self.guard(messages)?;
        Ok(guard.unmarked(&self.text(messages, add_generation_prompt, &guard)?))
    }

    fn guard(&self, messages: &[Message]) -> Result<Guard<'_>, TokenizerError> {
        let said = messages
            .iter()
            .flat_map(|one| [one.role.as_str(), one.content.as_str()]);
        let options = self.options.values().map(ToString::to_string).collect::<String>();
        let seen = said.chain([self.source.as_str(), options.as_str()]);
        Guard::new(&self.tokenizer.shared.markup, seen)
            .ok_or_else(|| language::failed("cannot be used, because the messages hold every private character"))
    }

    fn text(&self, messages: &[Message], prompt: bool, guard: &Guard<'_>) -> Result<String, TokenizerError> {
        let messages: Vec<Message> = messages
            .iter()
            .map(|one| Message::new(guard.marked(&one.role), guard.marked(&one.content)))
            .collect();
        let names = &self.tokenizer.shared.roles.names;
        let mut context: BTreeMap<&str, Value> = names
            .iter()
            .map(|(name, token)| (name.as_str(), Value::from(token.as_str())))
            .collect();
        context.insert("tools", Value::from(()));
        context.insert("documents", Value::from(()));
        for (name, value) in &self.options {
            context.insert(name, Value::from(Serde(value)));
        }
        context.insert("messages", Value::from(Serde(&messages)));
        context.insert("add_generation_prompt", Value::from(prompt));
        language::render(&self.environment, Value::from_pairs(context))
    }
}
