//! OpenAI's form of a request, as batch lines and the server read it.

use drdiff_data::Message;
use serde_json::{Map, Value};

use crate::Choices;
use crate::settings::SETTINGS;

/// What is wrong with a field of a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct FieldError {
    /// The path of the field in the body.
    pub field: String,
    /// What is wrong with it, in a sentence that names it.
    pub words: String,
}

impl FieldError {
    /// What is wrong with a field.
    pub fn new(field: impl Into<String>, words: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            words: words.into(),
        }
    }
}

/// Takes the settings out of a body that is [tidy](crate::values::tidy): fields of OpenAI's that the table of settings names, and all
/// settings under the key `diffusion`, which win.
///
/// # Errors
/// Which field has a value that cannot be, or is unknown under `diffusion`.
pub fn choices(body: &mut Map<String, Value>) -> Result<Choices, FieldError> {
    let mut choices = Choices::default();
    let theirs = SETTINGS
        .iter()
        .flat_map(|setting| setting.openai.iter().map(move |field| (setting, *field)));
    for (ours, theirs) in theirs {
        let Some(value) = body.remove(theirs) else {
            continue;
        };
        let wrong = |words: String| FieldError::new(theirs, words);
        let value = ours
            .read(value)
            .map_err(|words| wrong(format!("`{theirs}`: {words}")))?;
        if choices.get(ours.name).is_some_and(|other| *other != value) {
            let names = ours.openai.join("` and `");
            return Err(wrong(format!("`{names}` contradict each other; give one")));
        }
        choices.choose(ours.name, value).map_err(wrong)?;
    }
    match body.remove("diffusion") {
        None => Ok(choices),
        Some(Value::Object(map)) => {
            let mut own = Choices::default();
            for (name, value) in map {
                own.choose(&name, value)
                    .map_err(|words| FieldError::new(format!("diffusion.{name}"), words))?;
            }
            Ok(own.over(&choices))
        }
        Some(_) => Err(FieldError::new(
            "diffusion",
            "`diffusion` must be an object with settings such as `steps`",
        )),
    }
}

/// Reads a conversation: a list of messages whose content is text, or parts that are text. A message without `role` is the user's.
///
/// # Errors
/// Which message cannot be read.
pub fn messages(value: Option<Value>) -> Result<Vec<Message>, FieldError> {
    let wrong = |words: &str| FieldError::new("messages", words);
    let Some(Value::Array(messages)) = value else {
        return Err(wrong("the body has no list `messages`"));
    };
    if messages.is_empty() {
        return Err(wrong("`messages` is empty"));
    }
    let read = |(index, message): (usize, &Value)| {
        let field = format!("messages[{index}].content");
        let text = match &message["content"] {
            Value::String(text) => text.clone(),
            Value::Array(parts) => {
                let text = parts.iter().map(part).collect::<Result<_, _>>();
                text.map_err(|words| FieldError::new(field, words))?
            }
            _ => return Err(FieldError::new(field, "a message has no `content`")),
        };
        Ok(Message::new(message["role"].as_str().unwrap_or("user"), text))
    };
    messages.iter().enumerate().map(read).collect()
}

fn part(part: &Value) -> Result<&str, String> {
    match (&part["type"], &part["text"]) {
        (Value::String(kind), Value::String(text)) if kind == "text" => Ok(text),
        (kind, _) => Err(format!(
            "a message has a part of the type {kind}; only \"text\" can be served"
        )),
    }
}
