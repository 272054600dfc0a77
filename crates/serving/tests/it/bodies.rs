//! Bodies that cannot be served get an error that says why, whatever they are.

use drdiff_serving::Options;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

use crate::fixture::{Server, text};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bodies_are_explained() {
    let server = Server::start(Options {
        max_tokens: 100,
        ..Options::default()
    })
    .await;
    let with = |field: &str, value: Value| {
        let mut body = json!({ "prompt": "a", "max_tokens": 4 });
        body[field] = value;
        body
    };
    let own = |settings: Value| with("diffusion", settings);
    for (body, status, param, words) in [
        (json!({}), 400, "prompt", "there is none"),
        (json!({ "prompt": null }), 400, "prompt", "there is none"),
        (json!({ "prompt": 3 }), 400, "prompt", "not 3"),
        (json!({ "prompt": [] }), 400, "prompt", "empty"),
        (json!({ "prompt": ["a", 3] }), 400, "prompt", "not 3"),
        (json!({ "prompt": [1, "a"] }), 400, "prompt", "not text"),
        (json!({ "prompt": [-1] }), 400, "prompt", "not -1"),
        (json!({ "prompt": [100_000] }), 400, "prompt", "100000"),
        (json!({ "prompt": "a\u{0}b" }), 400, "prompt", "NUL"),
        (with("model", json!("gpt-4")), 404, "model", "\"drdiff\""),
        (with("model", json!(4)), 400, "model", "name"),
        (with("max_tokens", json!(101)), 400, "max_tokens", "more than the 100"),
        (with("max_tokens", json!(0)), 400, "max_tokens", "at least 1"),
        (with("max_tokens", json!(-1)), 400, "max_tokens", "whole number"),
        (with("max_tokens", json!("many")), 400, "max_tokens", "whole number"),
        (
            with("max_completion_tokens", json!(9)),
            400,
            "max_completion_tokens",
            "contradict",
        ),
        (with("n", json!(17)), 400, "n", "from 1 to 16"),
        (with("n", json!(0)), 400, "n", "from 1 to 16"),
        (with("best_of", json!(2)), 400, "best_of", "`n`"),
        (with("temperature", json!("hot")), 400, "temperature", "number"),
        (with("temperature", json!(-1)), 400, "diffusion", "temperature"),
        (with("top_p", json!(0)), 400, "diffusion", "top"),
        (with("seed", json!(-5)), 400, "seed", "whole number"),
        (with("stop", json!([""])), 400, "stop", "empty"),
        (with("stop", json!(7)), 400, "stop", "7"),
        (with("stream", json!("yes")), 400, "stream", "true or false"),
        (with("stream_options", json!(3)), 400, "stream_options", "object"),
        (with("echo", json!(1)), 400, "echo", "true or false"),
        (with("logprobs", json!(6)), 400, "logprobs", "from 0 to 5"),
        (with("suffix", json!(6)), 400, "suffix", "text"),
        (with("tools", json!([{ "type": "function" }])), 400, "tools", "tools"),
        (with("logit_bias", json!({ "5": 3 })), 400, "logit_bias", "likelier"),
        (
            with("response_format", json!({ "type": "json_object" })),
            400,
            "response_format",
            "free text",
        ),
        (with("modalities", json!(["audio"])), 400, "modalities", "text"),
        (
            with("frequency_penalty", json!(0.5)),
            400,
            "frequency_penalty",
            "diffusion.frequency_penalty",
        ),
        (
            with("presence_penalty", json!(-0.5)),
            400,
            "presence_penalty",
            "diffusion.frequency_penalty",
        ),
        (own(json!(3)), 400, "diffusion", "object"),
        (
            own(json!({ "step": 3 })),
            400,
            "diffusion.step",
            "did you mean `steps`?",
        ),
        (
            own(json!({ "strem": "steps" })),
            400,
            "diffusion.strem",
            "did you mean `stream`?",
        ),
        (own(json!({ "steps": 99 })), 400, "diffusion.steps", "99 steps"),
        (own(json!({ "steps": "x" })), 400, "diffusion.steps", "whole number"),
        (
            own(json!({ "block_size": 4096, "tokens": 90 })),
            400,
            "diffusion.block_size",
            "1024",
        ),
        (own(json!({ "stream": "all" })), 400, "diffusion.stream", "blocks"),
        (
            own(json!({ "interval_ms": -1 })),
            400,
            "diffusion.interval_ms",
            "whole number",
        ),
        (own(json!({ "infill": 1 })), 400, "diffusion.infill", "true or false"),
        (own(json!({ "infill": true })), 400, "prompt", "no gap"),
        (own(json!({ "attention": "tree" })), 400, "diffusion.attention", "plan"),
        (
            json!({ "prompt": "a [[2000]]", "diffusion": { "infill": true } }),
            400,
            "prompt",
            "1024",
        ),
        (
            json!({ "prompt": "a [[3]]", "suffix": "b", "diffusion": { "infill": true } }),
            400,
            "suffix",
            "exclude",
        ),
        (
            json!({ "prompt": "a", "suffix": "b", "echo": true }),
            400,
            "echo",
            "filled",
        ),
        (json!({ "prompt": vec!["a"; 100] }), 400, "prompt", "100 texts"),
    ] {
        let (got, _, answer) = server.post("/v1/completions", &body).await;
        let error = &answer["error"];
        assert_eq!(got.as_u16(), status, "{body}: {answer}");
        assert_eq!(error["param"], param, "{body}: {answer}");
        assert!(error["message"].as_str().unwrap().contains(words), "{body}: {answer}");
        assert!(error["type"].is_string() && error.get("code").is_some());
    }
    for (body, param, words) in [
        (json!({}), "messages", "no list `messages`"),
        (json!({ "messages": [] }), "messages", "empty"),
        (
            json!({ "messages": [{ "role": "user" }] }),
            "messages[0].content",
            "no `content`",
        ),
        (
            json!({ "messages": [{ "content": [{ "type": "image_url" }] }] }),
            "messages[0].content",
            "image_url",
        ),
        (
            json!({ "messages": [{ "content": "a" }], "top_logprobs": 21 }),
            "top_logprobs",
            "from 0 to 20",
        ),
        (
            json!({ "messages": [{ "content": "a" }], "diffusion": { "infill": true } }),
            "diffusion.infill",
            "/v1/completions",
        ),
    ] {
        let (got, _, answer) = server.post("/v1/chat/completions", &body).await;
        assert_eq!(
            (got.as_u16(), &answer["error"]["param"]),
            (400, &json!(param)),
            "{body}: {answer}"
        );
        assert!(answer["error"]["message"].as_str().unwrap().contains(words), "{answer}");
    }
    for body in [
        "",
        "{",
        "[]",
        "3",
        "{\"prompt\": NaN}",
        "\u{feff}{}",
        "{\"prompt\": \"\\ud800\"}",
    ] {
        let response = server.begin("/v1/completions", body).await;
        assert_eq!(response.status().as_u16(), 400, "{body}");
        assert!(text(response).await.contains("invalid_request_error"));
    }
    let nested = "[".repeat(100_000);
    assert_eq!(server.begin("/v1/completions", nested).await.status().as_u16(), 400);
    let request = axum::http::Request::post("/v1/completions").header("content-type", "text/plain");
    let response = server.send(request.body("{}".into()).unwrap()).await;
    assert_eq!(response.status().as_u16(), 400);
    // All places are free again.
    let all = json!({ "prompt": vec!["a"; 68], "max_tokens": 1 });
    server.complete(&all).await;
}

/// Values of all kinds, small and strange.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..40).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z \\[\\]0-9é]{0,12}".prop_map(Value::from),
        proptest::sample::select(vec![
            "steps",
            "blocks",
            "text",
            "gaussian",
            "absorbing",
            "margin",
            "auto",
            "drdiff",
            "[[3]]",
            "dense",
            "tree"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{1,8}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A body with some of the fields that exist, half of them with values of the right kind.
fn body() -> impl Strategy<Value = Value> {
    const FIELDS: [&str; 26] = [
        "model",
        "suffix",
        "max_tokens",
        "max_completion_tokens",
        "n",
        "best_of",
        "seed",
        "temperature",
        "top_p",
        "frequency_penalty",
        "presence_penalty",
        "stop",
        "stream",
        "stream_options",
        "echo",
        "logprobs",
        "top_logprobs",
        "user",
        "tools",
        "logit_bias",
        "response_format",
        "modalities",
        "diffusing",
        "messages",
        "prompt",
        "unknown",
    ];
    let settings: Vec<&str> = drdiff_generation::settings::SETTINGS
        .iter()
        .map(|setting| setting.name)
        .collect();
    let keys = settings
        .into_iter()
        .chain(["stream", "interval_ms", "infill", "nothing"])
        .collect::<Vec<_>>();
    let fields = proptest::collection::btree_map(proptest::sample::select(FIELDS.to_vec()), value(), 0..4);
    let diffusion = proptest::collection::btree_map(proptest::sample::select(keys), value(), 0..3);
    let object = |map: std::collections::BTreeMap<&str, Value>| -> Map<String, Value> {
        map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    };
    (fields, diffusion, any::<[bool; 3]>()).prop_map(move |(fields, diffusion, [prompted, small, own])| {
        let mut body = object(fields);
        if prompted {
            body.insert("prompt".to_owned(), json!("a [[2]] b"));
            body.insert("messages".to_owned(), json!([{ "role": "user", "content": "a" }]));
        }
        if small {
            body.insert("max_tokens".to_owned(), json!(2));
        }
        if own {
            body.insert("diffusion".to_owned(), Value::Object(object(diffusion)));
        }
        Value::Object(body)
    })
}

/// Sends so many bodies; how many were served.
async fn fuzz(bodies: usize) -> usize {
    let server = Server::start(Options {
        max_tokens: 8,
        slots: 16,
        ..Options::default()
    })
    .await;
    let (strategy, mut runner) = (body(), TestRunner::deterministic());
    let mut served = 0;
    for number in 0..bodies {
        let body = strategy.new_tree(&mut runner).unwrap().current();
        let mut body = body;
        // What is not asked for writes hundreds of tokens.
        let some = body
            .get("max_tokens")
            .or(body.get("max_completion_tokens"))
            .is_some_and(|tokens| !tokens.is_null());
        if !some {
            body["max_tokens"] = json!(1);
        }
        let path = ["/v1/completions", "/v1/chat/completions"][number % 2];
        let response = server.begin(path, body.to_string()).await;
        let status = response.status().as_u16();
        let answer = text(response).await;
        match status {
            200 => {
                assert!(!answer.contains("\"server_error\""), "{body}: {answer}");
                served += 1;
            }
            400..500 => {
                let answer: Value = serde_json::from_str(&answer).unwrap();
                assert!(answer["error"]["message"].is_string(), "{body}: {answer}");
            }
            _ => panic!("{status} for {body}: {answer}"),
        }
    }
    server
        .until(|| async { server.metric("drdiff_requests_running").await == 0.0 })
        .await;
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn any_body_is_served_or_refused() {
    let bodies = std::env::var("DRDIFF_BODIES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(10_000);
    let served = fuzz(bodies).await;
    assert!(served > bodies / 100, "{served} of {bodies} bodies could be served");
}
