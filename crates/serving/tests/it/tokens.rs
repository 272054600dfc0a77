//! Tokens, their probabilities, and what the server tells of its model.

use drdiff_serving::Options;
use serde_json::{Value, json};

use crate::fixture::{Server, engine, tokenizer};

#[tokio::test(flavor = "multi_thread")]
async fn prompts_are_scored_as_the_engine_does() {
    let server = Server::start(Options::default()).await;
    let prompt = "The old house stood";
    let ids = tokenizer().encode(prompt).unwrap();
    let mut engine = engine(1);
    let mut scoring = engine.scoring(&ids).unwrap();
    let scores = loop {
        if let Some(scores) = engine.score(&mut scoring).unwrap() {
            break scores;
        }
    };
    let body = json!({ "prompt": [prompt, prompt], "echo": true, "logprobs": 1, "max_tokens": 1, "temperature": 0, "seed": 1234 });
    let answer = server.complete(&body).await;
    for choice in answer["choices"].as_array().unwrap() {
        assert!(choice["text"].as_str().unwrap().starts_with(prompt));
        let told = &choice["logprobs"];
        let list = |name: &str| told[name].as_array().unwrap().clone();
        assert_eq!(list("tokens").len(), ids.len() + 1, "the written token is at the end");
        assert_eq!(
            list("text_offset"),
            (0..=ids.len()).map(Value::from).collect::<Vec<_>>()
        );
        let (logs, tops) = (list("token_logprobs"), list("top_logprobs"));
        assert!(logs[0].is_null() && tops[0].is_null());
        for (at, score) in scores[scores.len() + 1 - ids.len()..].iter().enumerate() {
            let log = logs[at + 1].as_f64().unwrap();
            assert!(
                (log - score.log_prob).abs() < 1e-4,
                "{at}: {log} and {}",
                score.log_prob
            );
            let top = tops[at + 1].as_object().unwrap();
            let best = top.values().filter_map(Value::as_f64).fold(f64::MIN, f64::max);
            assert!((best - score.likeliest.1).abs() < 1e-4);
        }
        assert!(logs[ids.len()].as_f64().unwrap() <= 0.0);
    }
    let mut streamed = body.clone();
    (streamed["stream"], streamed["prompt"]) = (json!(true), json!(prompt));
    let chunks = server.chunks("/v1/completions", &streamed).await;
    assert_eq!(chunks[0]["choices"][0]["text"], prompt);
    assert_eq!(
        chunks[0]["choices"][0]["logprobs"]["tokens"].as_array().unwrap().len(),
        ids.len()
    );
    assert_eq!(chunks[1]["choices"][0]["logprobs"]["text_offset"], json!([ids.len()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn written_tokens_have_the_probability_at_their_commitment() {
    let server = Server::start(Options::default()).await;
    let body = json!({ "messages": [{ "content": "The old" }], "logprobs": true, "top_logprobs": 2, "max_tokens": 24, "seed": 1 });
    let (_, _, answer) = server.post("/v1/chat/completions", &body).await;
    let content = answer["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(
        content.len() as u64,
        answer["usage"]["completion_tokens"].as_u64().unwrap()
    );
    assert!(content.iter().all(|entry| entry["logprob"].as_f64().unwrap() <= 0.0));
    let bytes = content.iter().flat_map(|entry| {
        entry["bytes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|byte| byte.as_u64().unwrap() as u8)
    });
    let text = String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned();
    assert_eq!(answer["choices"][0]["message"]["content"], text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tokenizer_goes_both_ways() {
    let server = Server::start(Options::default()).await;
    let (_, _, answer) = server
        .post("/tokenize", &json!({ "prompt": "aé", "return_token_strs": true }))
        .await;
    assert_eq!(
        (&answer["tokens"], &answer["count"]),
        (&json!(tokenizer().encode("aé").unwrap()), &json!(3))
    );
    assert_eq!(answer["max_model_len"], 1024);
    let (_, _, back) = server.post("/detokenize", &json!({ "tokens": answer["tokens"] })).await;
    assert_eq!(back, json!({ "prompt": "aé" }));
    let (_, info) = server.get("/tokenizer_info").await;
    let info: Value = serde_json::from_str(&info).unwrap();
    assert!(info["eos_token"].is_string() && info["chat_template"].is_null());
    for (path, body) in [
        ("/tokenize", json!({})),
        ("/tokenize", json!({ "prompt": 3 })),
        ("/tokenize", json!({ "messages": [{ "content": "a" }] })),
        ("/detokenize", json!({ "tokens": [1, -1] })),
        ("/detokenize", json!({ "tokens": [4_000_000_000_u32] })),
        ("/detokenize", json!({ "tokens": "a" })),
    ] {
        let (status, _, answer) = server.post(path, &body).await;
        assert_eq!(status.as_u16(), 400, "{body}");
        assert!(answer["error"]["param"].is_string(), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_is_told_and_every_described_path_is_there() {
    let server = Server::start(Options::default()).await;
    let (_, models) = server.get("/v1/models").await;
    let models: Value = serde_json::from_str(&models).unwrap();
    let card = &models["data"][0];
    assert_eq!(
        (&card["id"], &card["object"], &card["meta"]["context"]),
        (&json!("drdiff"), &json!("model"), &json!(1024))
    );
    assert_eq!(server.get("/v1/models/drdiff-recall").await.0.as_u16(), 200);
    assert_eq!(server.get("/v1/models/gpt-4").await.0.as_u16(), 404);

    let (_, description) = server.get("/openapi.json").await;
    let description: Value = serde_json::from_str(&description).unwrap();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let path = path.replace("{id}", "drdiff");
            let status = match method.as_str() {
                "get" => server.get(&path).await.0,
                _ => server.begin(&path, "{}").await.status(),
            };
            assert!(![404, 405, 500].contains(&status.as_u16()), "{method} {path}: {status}");
        }
    }
    let diffusion = &description["components"]["schemas"]["Diffusion"]["properties"];
    for setting in drdiff_generation::settings::SETTINGS {
        assert!(diffusion[setting.name]["description"].is_string(), "{}", setting.name);
    }
    for chunk in description.to_string().split("#/components/schemas/").skip(1) {
        let name = chunk.split('"').next().unwrap();
        assert!(description["components"]["schemas"][name].is_object(), "{name}");
    }
}
