//! What a request wants to be written.

use drdiff_data::{ChatTemplate, Message, Tokenizer, TokenizerError};
use drdiff_model::Error as ModelError;
use serde::Serialize;
use serde_json::{Map, Value};

use drdiff_generation::{Result, Task};

/// What is to be written, as text.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Wish {
    /// The text goes on behind it.
    Prompt(String),
    /// Its gaps are filled.
    Infill(String),
    /// The next turn of a conversation, in OpenAI's form.
    Messages(Vec<Message>),
    /// The answer to a message of a user.
    #[serde(untagged)]
    Chat {
        chat: String,
        /// What the model is told before; without it what its template says.
        #[serde(skip_serializing_if = "Option::is_none")]
        system: Option<String>,
    },
}

impl Wish {
    /// Keys of DrDiff's own form that say what is wanted; a line has one of the first three.
    pub(super) const KEYS: [&str; 4] = ["prompt", "infill", "chat", "system"];

    /// Takes the wish out of a line; `None` if it has none.
    ///
    /// # Errors
    /// If there are two, or what is no text.
    pub(super) fn take(map: &mut Map<String, Value>) -> Result<Option<Self>, String> {
        let mut text = |key: &str| match map.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("`{key}` must be text")),
        };
        let [prompt, infill, chat, system] = Self::KEYS.map(&mut text);
        let [prompt, infill, chat, system] = [prompt?, infill?, chat?, system?];
        if system.is_some() && chat.is_none() {
            return Err("`system` has no meaning without `chat`; leave it out".to_owned());
        }
        let both = |one, other| Err(format!("`{one}` and `{other}` exclude each other; give one"));
        match (prompt, infill, chat) {
            (Some(_), Some(_), _) => both("prompt", "infill"),
            (Some(_), None, Some(_)) => both("prompt", "chat"),
            (None, Some(_), Some(_)) => both("infill", "chat"),
            (Some(text), None, None) => Ok(Some(Self::Prompt(text))),
            (None, Some(text), None) => Ok(Some(Self::Infill(text))),
            (None, None, Some(chat)) => Ok(Some(Self::Chat { chat, system })),
            (None, None, None) => Ok(None),
        }
    }

    /// The wish as a model with this `template` sees it. One without goes on from the texts of OpenAI's messages, which follow each
    /// other with an empty line between.
    pub(super) fn suited(self, template: Option<&ChatTemplate>) -> Self {
        match self {
            Self::Messages(messages) if template.is_none() => {
                let texts: Vec<String> = messages.into_iter().map(|message| message.content).collect();
                Self::Prompt(texts.join("\n\n"))
            }
            other => other,
        }
    }

    /// The wish in token ids.
    ///
    /// # Errors
    /// If the text cannot be encoded, or a message is to be answered and there is no `template`.
    pub(super) fn task(&self, tokenizer: &Tokenizer, template: Option<&ChatTemplate>) -> Result<Task> {
        match self {
            Self::Prompt(text) => Task::behind(text, tokenizer),
            Self::Infill(text) => Task::within(text, tokenizer),
            Self::Messages(messages) => answer(messages, template),
            Self::Chat { chat, system } => {
                let system = system.iter().map(|text| Message::new("system", text.as_str()));
                let messages: Vec<Message> = system.chain([Message::new("user", chat.as_str())]).collect();
                answer(&messages, template)
            }
        }
    }
}

fn answer(messages: &[Message], template: Option<&ChatTemplate>) -> Result<Task> {
    let template = template.ok_or(ModelError::Tokenizer(TokenizerError::NoTemplate))?;
    let ids = template.render(messages, true).map_err(ModelError::from)?;
    Ok(Task::Continue(ids.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn take(line: Value) -> Result<Option<Wish>, String> {
        Wish::take(&mut line.as_object().unwrap().clone())
    }

    #[test]
    fn a_line_has_one_wish_and_a_record_has_it_again() {
        for line in [
            json!({ "prompt": "a" }),
            json!({ "infill": "a [[1]]" }),
            json!({ "chat": "a" }),
            json!({ "chat": "a", "system": "b" }),
        ] {
            assert_eq!(json!(take(line.clone()).unwrap().unwrap()), line);
        }
        assert_eq!(take(json!({ "tokens": 3 })), Ok(None));
        for (line, words) in [
            (
                json!({ "prompt": "a", "chat": "b" }),
                "`prompt` and `chat` exclude each other",
            ),
            (
                json!({ "infill": "a", "chat": "b" }),
                "`infill` and `chat` exclude each other",
            ),
            (json!({ "chat": ["a"] }), "`chat` must be text"),
            (
                json!({ "prompt": "a", "system": "b" }),
                "`system` has no meaning without `chat`",
            ),
        ] {
            assert!(take(line).unwrap_err().contains(words), "{words}");
        }
    }

    #[test]
    fn a_model_without_a_template_reads_the_text_of_messages() {
        let messages = vec![Message::new("system", "Tell tales."), Message::new("user", "a")];
        let suited = Wish::Messages(messages).suited(None);
        assert_eq!(suited, Wish::Prompt("Tell tales.\n\na".to_owned()));
    }
}
