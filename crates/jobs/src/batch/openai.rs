//! Lines of OpenAI's batch files, as `vllm run-batch` reads them too.
//!
//! A line has `custom_id`, `method`, `url` and `body`; the body is a request for a completion or a chat completion.
//! What only diffusion models have stands under the body's key `diffusion`.

use std::collections::BTreeSet;

use drdiff_data::Message;
use drdiff_generation::Choices;
use drdiff_generation::settings::SETTINGS;
use serde_json::{Map, Value};

use super::form::{Endpoint, Form, id};
use super::wish::Wish;

/// Fields of a body that change nothing here, and that nobody has to be told about.
const HARMLESS: [&str; 5] = ["model", "user", "metadata", "stream", "store"];

/// Reads a line that is [tidy](drdiff_generation::values::tidy). Fields without a meaning here are added to `ignored`.
pub(super) fn read(mut map: Map<String, Value>, ignored: &mut BTreeSet<String>) -> Result<Form, String> {
    let id = id(map
        .remove("custom_id")
        .ok_or("there is no `custom_id`; give each line its own")?)?;
    match map.remove("method") {
        None => {}
        Some(Value::String(method)) if method.eq_ignore_ascii_case("post") => {}
        Some(method) => return Err(format!("the method {method} is unknown; it must be \"POST\"")),
    }
    let Some(Value::Object(mut body)) = map.remove("body") else {
        return Err("there is no `body` that is an object; put the request there".to_owned());
    };
    let url = map.remove("url");
    ignored.extend(map.into_iter().map(|(key, _)| key));
    let endpoint = match url {
        None if body.contains_key("messages") => Endpoint::Chat,
        None => Endpoint::Completions,
        Some(url) => match url.as_str().unwrap_or_default() {
            "/v1/completions" => Endpoint::Completions,
            "/v1/chat/completions" => Endpoint::Chat,
            _ => {
                return Err(format!(
                    "the url {url} is unknown; it must be \"/v1/completions\" or \"/v1/chat/completions\""
                ));
            }
        },
    };
    let wish = match endpoint {
        Endpoint::Completions => Wish::Prompt(prompt(body.remove("prompt"))?),
        Endpoint::Chat => Wish::Messages(messages(body.remove("messages"))?),
    };
    if body.remove("n").is_some_and(|n| n != 1) {
        return Err("`n` is not 1; ask for several texts by several lines, each with its own `custom_id`".to_owned());
    }
    for part in ["suffix", "tools"] {
        let asked = body
            .remove(part)
            .filter(|value| *value != Value::Array(Vec::new()) && *value != Value::String(String::new()));
        if asked.is_some() {
            return Err(format!(
                "`{part}` cannot be served; use a line of DrDiff's own form with `infill` for gaps, or leave it out"
            ));
        }
    }
    let choices = choices(&mut body)?;
    body.retain(|key, _| !HARMLESS.contains(&key.as_str()));
    ignored.extend(body.into_iter().map(|(key, _)| key));
    Ok(Form {
        id: Some(id),
        wish,
        choices,
        endpoint,
    })
}

/// The settings of a body; those under `diffusion` win.
fn choices(body: &mut Map<String, Value>) -> Result<Choices, String> {
    let mut choices = Choices::default();
    let theirs = SETTINGS
        .iter()
        .flat_map(|setting| setting.openai.iter().map(move |field| (setting, field)));
    for (ours, theirs) in theirs {
        let Some(value) = body.remove(*theirs) else {
            continue;
        };
        let value = ours.read(value).map_err(|wrong| format!("`{theirs}`: {wrong}"))?;
        if choices.get(ours.name).is_some_and(|other| *other != value) {
            return Err(format!(
                "`{}` contradict each other; give one",
                ours.openai.join("` and `")
            ));
        }
        choices.choose(ours.name, value)?;
    }
    match body.remove("diffusion") {
        None => Ok(choices),
        Some(Value::Object(map)) => Ok(Choices::from_json(map)?.over(&choices)),
        Some(_) => Err("`diffusion` must be an object with settings such as `steps`".to_owned()),
    }
}

fn prompt(value: Option<Value>) -> Result<String, String> {
    match value {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(mut list)) if list.len() == 1 && list[0].is_string() => prompt(list.pop()),
        None => Err("the body has no `prompt`".to_owned()),
        Some(_) => {
            Err("`prompt` must be one text; token ids and several prompts cannot be served in one line".to_owned())
        }
    }
}

/// A conversation; a message without `role` is the user's.
fn messages(value: Option<Value>) -> Result<Vec<Message>, String> {
    let Some(Value::Array(messages)) = value else {
        return Err("the body has no list `messages`".to_owned());
    };
    if messages.is_empty() {
        return Err("`messages` is empty".to_owned());
    }
    let read = |message: &Value| {
        let text = match &message["content"] {
            Value::String(text) => text.clone(),
            Value::Array(parts) => parts.iter().map(part).collect::<Result<_, _>>()?,
            _ => return Err("a message has no `content`".to_owned()),
        };
        Ok(Message::new(message["role"].as_str().unwrap_or("user"), text))
    };
    messages.iter().map(read).collect()
}

fn part(part: &Value) -> Result<&str, String> {
    match (&part["type"], &part["text"]) {
        (Value::String(kind), Value::String(text)) if kind == "text" => Ok(text),
        (kind, _) => Err(format!(
            "a message has a part of the type {kind}; only \"text\" can be served"
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use drdiff_generation::values::tidy;

    fn line(body: Value) -> Result<(Form, Vec<String>), String> {
        let mut ignored = BTreeSet::new();
        let line = json!({ "custom_id": "r1", "method": "POST", "body": body });
        let form = read(tidy(line.as_object().unwrap().clone()), &mut ignored)?;
        Ok((form, ignored.into_iter().collect()))
    }

    #[test]
    fn completions_are_taken() {
        let (form, ignored) = line(json!({
            "model": "m", "prompt": "Once", "max_tokens": 30, "temperature": 0.5, "top_p": 0.9, "seed": 3,
            "stop": "\n", "logit_bias": {}, "best_of": 2, "user": null,
            "diffusion": { "steps": 4, "block_size": 8 },
        }))
        .unwrap();
        assert_eq!((form.id.as_deref(), form.endpoint), (Some("r1"), Endpoint::Completions));
        assert_eq!(form.wish, Wish::Prompt("Once".into()));
        let expected = json!({
            "tokens": 30, "temperature": 0.5, "top_p": 0.9, "seed": 3, "stop": ["\n"], "steps": 4, "block_size": 8,
        });
        assert_eq!(json!(form.choices), expected);
        assert_eq!(ignored, ["best_of", "logit_bias"]);
    }

    #[test]
    fn nulls_are_absent() {
        let (form, ignored) = line(json!({
            "prompt": null, "messages": [{ "content": "a" }], "n": 1.0, "stop": null, "tools": [], "suffix": "",
            "max_tokens": 8.0, "max_completion_tokens": 8, "logprobs": null, "diffusion": { "steps": null },
        }))
        .unwrap();
        assert_eq!(
            (form.endpoint, json!(form.choices)),
            (Endpoint::Chat, json!({ "tokens": 8 }))
        );
        assert!(ignored.is_empty());
        let mut ignored = BTreeSet::new();
        let line = json!({ "custom_id": "a", "body": { "prompt": "x" }, "max_tokens": 3 });
        read(line.as_object().unwrap().clone(), &mut ignored).unwrap();
        assert_eq!(Vec::from_iter(ignored), ["max_tokens"]);
    }

    #[test]
    fn chats_are_messages() {
        let parts = json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }]);
        let (form, _) = line(json!({ "messages": [
            { "role": "system", "content": "Tell tales." }, { "role": "user", "content": parts },
        ] }))
        .unwrap();
        assert_eq!(
            (form.endpoint, form.wish),
            (
                Endpoint::Chat,
                Wish::Messages(vec![Message::new("system", "Tell tales."), Message::new("user", "ab")])
            )
        );
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        for (body, words) in [
            (json!({}), "no `prompt`"),
            (json!({ "prompt": ["a", "b"] }), "one text"),
            (json!({ "prompt": [1, 2] }), "token ids"),
            (json!({ "prompt": "a", "n": 3 }), "`n` is not 1"),
            (json!({ "prompt": "a", "suffix": "b" }), "`suffix`"),
            (
                json!({ "prompt": "a", "max_tokens": -1 }),
                "`max_tokens`: a whole number from 0 to 18446744073709551615 without a point is wanted, not -1",
            ),
            (
                json!({ "prompt": "a", "diffusion": { "step": 3 } }),
                "did you mean `steps`?",
            ),
            (json!({ "prompt": "a", "diffusion": 3 }), "must be an object"),
            (
                json!({ "prompt": "a", "max_tokens": 3, "max_completion_tokens": 4 }),
                "contradict each other",
            ),
            (json!({ "messages": [] }), "empty"),
            (
                json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }),
                "image_url",
            ),
        ] {
            let error = line(body).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let whole = |value: Value| read(value.as_object().unwrap().clone(), &mut BTreeSet::new()).unwrap_err();
        assert!(whole(json!({ "body": {} })).contains("custom_id"));
        assert!(whole(json!({ "custom_id": "a", "url": "/v1/embeddings", "body": {} })).contains("/v1/embeddings"));
        assert!(whole(json!({ "custom_id": "a", "method": "GET", "body": {} })).contains("POST"));
    }
}
