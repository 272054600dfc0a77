//! What a line of JSON says: a text, a conversation, or a text that `drdiff batch` has written.

use serde::Deserialize;
use serde_json::Value;

use crate::Message;

/// What of a line is read; other fields are ignored.
#[derive(Deserialize)]
pub(super) struct Record {
    id: Option<Value>,
    text: Option<String>,
    messages: Option<Vec<Message>>,
    pub(super) title: Option<String>,
    pub(super) tier: Option<String>,
    // Lines of others may have something else under these names.
    #[serde(default)]
    prompt: Value,
    #[serde(default)]
    chat: Value,
    #[serde(default)]
    system: Value,
    #[serde(default)]
    stop_reason: Value,
    custom_id: Option<Value>,
    #[serde(default)]
    response: Value,
}

/// What a record holds to learn from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// Of a conversation all that is said, one turn a line. Empty if a request has no answer.
    pub(super) text: String,
    /// The turns, if it is a conversation.
    pub(super) messages: Option<Vec<Message>>,
    /// It is a conversation whose last answer ended at the limit of its length.
    pub(super) cut: bool,
}

impl Record {
    /// The id in the line, if there is one.
    pub(super) fn id(&self) -> Option<String> {
        match self.custom_id.as_ref().or(self.id.as_ref())? {
            Value::String(id) => Some(id.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        }
    }

    /// The text or conversation of the line.
    ///
    /// # Errors
    /// What is missing or contradicts itself, in a sentence.
    pub(super) fn said(self) -> Result<Said, &'static str> {
        if self.text.is_none() && self.messages.is_none() && self.response.is_object() {
            return answered(&self.response);
        }
        match (self.text, self.messages, string(&self.chat)) {
            (Some(_), Some(_), _) => Err("both `text` and `messages`; give one of them"),
            (None, Some(messages), None) => Ok(conversation(messages, false)),
            (Some(answer), None, Some(chat)) => {
                if self.prompt.is_string() {
                    return Err("both `prompt` and `chat`; give one of them");
                }
                let cut = self.stop_reason == "length";
                Ok(with_answer(asked(string(&self.system), chat), answer, cut))
            }
            (Some(text), None, None) => Ok(text_of(string(&self.prompt).unwrap_or_default() + &text)),
            (None, None, None) => Err("missing field `text`, or `messages` for a conversation"),
            (None, _, Some(_)) => Err("a request (`chat`) without its answer; write `text` with `drdiff batch`"),
        }
    }
}

/// What an answer in OpenAI's form holds; what was asked for stands under `diffusion`.
fn answered(response: &Value) -> Result<Said, &'static str> {
    let body = &response["body"];
    let (choice, beside) = (&body["choices"][0], &body["diffusion"]);
    if let Some(text) = string(&choice["text"]) {
        return Ok(text_of(string(&beside["prompt"]).unwrap_or_default() + &text));
    }
    let Some(answer) = string(&choice["message"]["content"]) else {
        return Err("a `response` without a text");
    };
    let messages = match Vec::<Message>::deserialize(&beside["messages"]) {
        Ok(messages) => messages,
        Err(_) => match (string(&beside["chat"]), string(&beside["prompt"])) {
            (Some(chat), _) => asked(string(&beside["system"]), chat),
            // A model without a chat template goes on from the text of the messages.
            (None, Some(prompt)) => return Ok(text_of(prompt + &answer)),
            (None, None) => return Err("an answer without its `messages` under `diffusion`"),
        },
    };
    Ok(with_answer(messages, answer, choice["finish_reason"] == "length"))
}

fn string(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// A message and what the model was told before it.
fn asked(system: Option<String>, chat: String) -> Vec<Message> {
    let system = system.map(|system| Message::new("system", system));
    system.into_iter().chain([Message::new("user", chat)]).collect()
}

fn text_of(text: String) -> Said {
    Said {
        text,
        messages: None,
        cut: false,
    }
}

fn with_answer(mut messages: Vec<Message>, answer: String, cut: bool) -> Said {
    if answer.trim().is_empty() {
        return text_of(String::new());
    }
    messages.push(Message::new("assistant", answer));
    conversation(messages, cut)
}

fn conversation(messages: Vec<Message>, cut: bool) -> Said {
    let turns: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
    Said {
        text: turns.join("\n"),
        messages: Some(messages),
        cut,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(line: Value) -> Result<Said, &'static str> {
        serde_json::from_value::<Record>(line).unwrap().said()
    }

    fn turns(said: &Said) -> Vec<(&str, &str)> {
        let messages = said.messages.as_deref().unwrap_or_default();
        messages
            .iter()
            .map(|one| (one.role.as_str(), one.content.as_str()))
            .collect()
    }

    #[test]
    fn records_of_openings_are_texts() {
        let record = json!({ "id": "a", "prompt": "Once", "text": " upon.", "stop_reason": "length" });
        assert_eq!(said(record), Ok(text_of("Once upon.".to_owned())));
        let body = json!({ "choices": [{ "text": " upon." }], "diffusion": { "prompt": "Once" } });
        let record = json!({ "id": "b", "custom_id": "a", "response": { "body": body }, "error": null });
        assert_eq!(
            serde_json::from_value::<Record>(record.clone())
                .unwrap()
                .id()
                .as_deref(),
            Some("a")
        );
        assert_eq!(said(record), Ok(text_of("Once upon.".to_owned())));
        let of_others = json!({ "text": "a", "prompt": ["b"], "response": "c", "chat": null });
        assert_eq!(said(of_others), Ok(text_of("a".to_owned())));
        let filled = json!({ "infill": "a [[1]]", "text": "a b" });
        assert_eq!(said(filled), Ok(text_of("a b".to_owned())));
    }

    #[test]
    fn records_of_messages_are_conversations() {
        let ours = |reason| said(json!({ "chat": "Why?", "system": "Be kind.", "text": "So.", "stop_reason": reason }));
        let all = [("system", "Be kind."), ("user", "Why?"), ("assistant", "So.")];
        let whole = ours("end").unwrap();
        assert_eq!((turns(&whole), whole.cut), (all.to_vec(), false));
        assert_eq!(whole.text, "Be kind.\nWhy?\nSo.");
        assert!(ours("length").unwrap().cut);
        let theirs = |asked: Value, reason| {
            let choice = json!({ "message": { "role": "assistant", "content": "So." }, "finish_reason": reason });
            said(json!({ "custom_id": "a", "response": { "body": { "choices": [choice], "diffusion": asked } } }))
        };
        let messages = json!([{ "role": "user", "content": "Why?" }]);
        let whole = theirs(json!({ "messages": messages }), "stop").unwrap();
        assert_eq!((turns(&whole), whole.cut), (all[1..].to_vec(), false));
        assert!(theirs(json!({ "messages": messages }), "length").unwrap().cut);
        assert_eq!(turns(&theirs(json!({ "chat": "Why?" }), "stop").unwrap()), all[1..]);
        assert_eq!(
            theirs(json!({ "prompt": "Why? " }), "stop"),
            Ok(text_of("Why? So.".to_owned()))
        );
        assert_eq!(said(json!({ "chat": "Why?", "text": " " })), Ok(text_of(String::new())));
    }

    #[test]
    fn what_is_missing_is_told() {
        for (line, words) in [
            (json!({}), "missing field `text`"),
            (json!({ "text": "a", "messages": [] }), "both `text` and `messages`"),
            (json!({ "chat": "a" }), "without its answer"),
            (
                json!({ "chat": "a", "prompt": "b", "text": "c" }),
                "both `prompt` and `chat`",
            ),
            (json!({ "response": {} }), "without a text"),
        ] {
            assert!(said(line.clone()).unwrap_err().contains(words), "{line}");
        }
    }
}
