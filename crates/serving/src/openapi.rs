//! The description of the API, made of the table of settings.

use drdiff_generation::settings::{Kind, SETTINGS, Setting, default_of};
use serde_json::{Map, Value, json};

use crate::routes::PATHS;

/// OpenAPI 3.1.
pub(crate) fn description() -> Value {
    let mut paths = Map::new();
    for (method, path, summary) in PATHS {
        paths.insert(path.to_owned(), json!({ method: operation(method, path, summary) }));
    }
    let settings: Map<String, Value> = SETTINGS.iter().map(|one| (one.name.to_owned(), schema(one))).collect();
    let mut diffusion = settings;
    diffusion.insert(
        "stream".to_owned(),
        json!({ "enum": ["blocks", "steps"], "description": "Whether a stream has events with provisional text" }),
    );
    let interval = "Least time in milliseconds between two events with provisional text";
    diffusion.insert(
        "interval_ms".to_owned(),
        json!({ "type": "integer", "default": 40, "description": interval }),
    );
    let infill = "The prompt has gaps such as [[8]], which are filled";
    diffusion.insert(
        "infill".to_owned(),
        json!({ "type": "boolean", "default": false, "description": infill }),
    );
    json!({
        "openapi": "3.1.0",
        "info": { "title": "drdiff serve", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": { "schemas": {
            "Diffusion": { "type": "object", "additionalProperties": false, "properties": diffusion },
            "Completion": body(&["prompt"], json!({
                "prompt": { "description": "A text, a list of texts, token ids, or a list of lists of them" },
                "suffix": { "type": "string", "description": "The text behind the gap that is to be filled" },
                "echo": { "type": "boolean" }, "logprobs": { "type": "integer", "minimum": 0, "maximum": 5 },
            })),
            "Chat": body(&["messages"], json!({
                "messages": { "type": "array", "items": { "type": "object", "properties": {
                    "role": { "type": "string" }, "content": { "description": "A text, or parts of the type text" },
                } } },
                "logprobs": { "type": "boolean" },
            })),
            "Error": { "type": "object", "properties": { "error": { "type": "object", "properties": {
                "message": { "type": "string" }, "type": { "type": "string" },
                "param": { "type": ["string", "null"] }, "code": { "type": ["string", "null"] },
            } } } },
        } },
    })
}

/// A body with its own fields, and those that both kinds have.
fn body(required: &[&str], own: Value) -> Value {
    let mut fields = match own {
        Value::Object(own) => own,
        _ => Map::new(),
    };
    for setting in SETTINGS {
        // A penalty of OpenAI's is another formula: only 0 is taken.
        for field in setting.openai.iter().filter(|field| !field.ends_with("penalty")) {
            fields.insert((*field).to_owned(), schema(setting));
        }
    }
    fields.insert("model".to_owned(), json!({ "type": "string" }));
    fields.insert(
        "n".to_owned(),
        json!({ "type": "integer", "minimum": 1, "maximum": 16 }),
    );
    fields.insert("stream".to_owned(), json!({ "type": "boolean" }));
    let usage = json!({ "type": "object", "properties": { "include_usage": { "type": "boolean" } } });
    fields.insert("stream_options".to_owned(), usage);
    fields.insert(
        "diffusion".to_owned(),
        json!({ "$ref": "#/components/schemas/Diffusion" }),
    );
    json!({ "type": "object", "required": required, "properties": fields })
}

fn schema(setting: &Setting) -> Value {
    let mut schema = match setting.kind {
        Kind::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Number(range) => {
            let mut schema = json!({ "type": "number" });
            if range.least.is_finite() {
                schema[if range.closed { "minimum" } else { "exclusiveMinimum" }] = json!(range.least);
            }
            if range.most.is_finite() {
                schema["maximum"] = json!(range.most);
            }
            schema
        }
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::Name(names) => json!({ "enum": names() }),
        Kind::Other(_) => json!({}),
    };
    let values = match setting.kind {
        Kind::Other(values) => format!(": {values}"),
        _ => String::new(),
    };
    let words = format!("{}{values}. Default: {}", setting.help, default_of(setting));
    schema["description"] = json!(words);
    schema
}

fn operation(method: &str, path: &str, summary: &str) -> Value {
    let error = json!({ "description": "An error", "content": { "application/json": {
        "schema": { "$ref": "#/components/schemas/Error" },
    } } });
    let mut operation = json!({ "summary": summary, "responses": {
        "200": { "description": summary }, "default": error,
    } });
    if method == "post" {
        let schema = match path {
            "/v1/completions" | "/v1/fim/completions" => json!({ "$ref": "#/components/schemas/Completion" }),
            "/v1/chat/completions" => json!({ "$ref": "#/components/schemas/Chat" }),
            _ => json!({ "type": "object" }),
        };
        operation["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    if path.contains("{id}") {
        operation["parameters"] =
            json!([{ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }]);
    }
    operation
}
