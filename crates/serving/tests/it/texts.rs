//! What is written: the texts of `drdiff generate`, in the forms of the API.

use std::collections::BTreeMap;

use drdiff_generation::Task;
use drdiff_serving::Options;
use serde_json::{Value, json};

use crate::fixture::{Server, tokenizer, written};

const PROMPT: &str = "The old house ";

/// A body for some settings, which are those of the library.
fn body(settings: &Value) -> Value {
    json!({ "prompt": PROMPT, "diffusion": settings })
}

fn text_of(chunks: &[Value]) -> String {
    chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["text"].as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_those_of_the_library() {
    let server = Server::start(Options::default()).await;
    for settings in [
        json!({ "tokens": 40, "seed": 7, "stop_at_end": false }),
        json!({ "tokens": 40, "seed": 7, "block_size": 1, "stop_at_end": false }),
        json!({ "tokens": 50, "seed": 3, "block_size": 32, "steps": 4, "temperature": 0.9, "stop_at_end": false }),
        json!({ "tokens": 60, "seed": 1, "stop": ["e", "a"] }),
    ] {
        let expected = written(|tokenizer| Task::behind(PROMPT, tokenizer).unwrap(), &settings, 0);
        let answer = server.complete(&body(&settings)).await;
        let choice = &answer["choices"][0];
        assert_eq!(choice["text"], expected.text, "{settings}");
        let reason = if expected.stop.name() == "length" {
            "length"
        } else {
            "stop"
        };
        assert_eq!(choice["finish_reason"], reason);
        assert_eq!(answer["usage"]["completion_tokens"], expected.ids.len());
        assert_eq!(answer["usage"]["prompt_tokens"], PROMPT.len() - 1);
        assert_eq!(
            (&answer["diffusion"]["nfe"], &answer["diffusion"]["seed"]),
            (&json!(expected.nfe), &settings["seed"])
        );
        let by_block = answer["diffusion"]["nfe_by_block"].as_array().unwrap();
        assert_eq!(
            by_block.iter().map(|nfe| nfe.as_u64().unwrap()).sum::<u64>(),
            expected.nfe as u64
        );

        let mut streamed = body(&settings);
        streamed["stream"] = json!(true);
        streamed["stream_options"] = json!({ "include_usage": true });
        let chunks = server.chunks("/v1/completions", &streamed).await;
        assert_eq!(text_of(&chunks), expected.text, "{settings}");
        let (usage, rest) = chunks.split_last().unwrap();
        assert_eq!((&usage["choices"], &usage["usage"]), (&json!([]), &answer["usage"]));
        assert!(
            rest.iter()
                .all(|chunk| chunk["usage"].is_null() && chunk["choices"][0]["index"] == 0)
        );
        let events: Vec<&str> = rest
            .iter()
            .map(|chunk| chunk["diffusion"]["event"].as_str().unwrap())
            .collect();
        assert_eq!((events[0], events[events.len() - 1]), ("start", "done"));
        assert!(events[1..events.len() - 1].iter().all(|event| *event == "block"));
        assert_eq!(rest.last().unwrap()["choices"][0]["finish_reason"], reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_texts_have_keys_of_their_own_and_do_not_change_each_other() {
    let server = Server::start(Options::default()).await;
    let settings = json!({ "tokens": 30, "seed": 5, "stop_at_end": false });
    let prompts = [PROMPT, "Once upon a time"];
    let mut many = body(&settings);
    (many["prompt"], many["n"]) = (json!(prompts), json!(2));
    let expected = |index: u64| {
        let prompt = prompts[index as usize / 2];
        written(
            |tokenizer| Task::behind(prompt, tokenizer).unwrap(),
            &settings,
            index % 2,
        )
        .text
    };
    let answer = server.complete(&many).await;
    let choices = answer["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 4);
    for choice in choices {
        assert_eq!(choice["text"], expected(choice["index"].as_u64().unwrap()));
    }
    assert_ne!(choices[0]["text"], choices[1]["text"]);
    assert_eq!(
        answer["usage"]["prompt_tokens"],
        prompts[0].len() - 1 + prompts[1].len()
    );

    many["stream"] = json!(true);
    let mut texts = BTreeMap::<u64, String>::new();
    for chunk in server.chunks("/v1/completions", &many).await {
        let choice = &chunk["choices"][0];
        texts
            .entry(choice["index"].as_u64().unwrap())
            .or_default()
            .push_str(choice["text"].as_str().unwrap());
    }
    assert_eq!(texts, (0..4).map(|index| (index, expected(index))).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn token_ids_are_prompts_and_seeds_are_random_where_none_is_chosen() {
    let server = Server::start(Options::default()).await;
    let ids = tokenizer().encode("The old").unwrap();
    let ask = |prompt: Value| json!({ "prompt": prompt, "max_tokens": 20, "seed": 4 });
    let (one, other) = (
        server.complete(&ask(json!(ids))).await,
        server.complete(&ask(json!("The old"))).await,
    );
    assert_eq!(one["choices"][0]["text"], other["choices"][0]["text"]);
    let lists = server.complete(&ask(json!([ids, ids]))).await;
    assert_eq!(
        lists["choices"][1]["text"], one["choices"][0]["text"],
        "each prompt is written as if alone"
    );

    let free = json!({ "prompt": "The old", "max_tokens": 20 });
    let (first, second) = (server.complete(&free).await, server.complete(&free).await);
    assert_ne!(first["diffusion"]["seed"], second["diffusion"]["seed"]);
    let mut again = free.clone();
    again["seed"] = first["diffusion"]["seed"].clone();
    assert_eq!(
        server.complete(&again).await["choices"][0]["text"],
        first["choices"][0]["text"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_without_a_template_are_one_text() {
    let server = Server::start(Options::default()).await;
    let settings = json!({ "tokens": 30, "seed": 2 });
    let expected = written(
        |tokenizer| Task::behind("Tell tales.\n\nThe old", tokenizer).unwrap(),
        &settings,
        0,
    );
    let body = json!({
        "model": "drdiff", "seed": 2, "max_completion_tokens": 30, "frequency_penalty": 0, "presence_penalty": 0.0, "n": null,
        "logit_bias": {}, "tools": [], "response_format": { "type": "text" }, "strange": 1,
        "messages": [{ "role": "system", "content": "Tell tales." }, { "role": "user", "content": [{ "type": "text", "text": "The old" }] }],
    });
    let (status, _, answer) = server.post("/v1/chat/completions", &body).await;
    assert_eq!(
        (status.as_u16(), &answer["object"]),
        (200, &json!("chat.completion")),
        "{answer}"
    );
    let message = json!({ "role": "assistant", "content": expected.text, "refusal": null });
    assert_eq!(answer["choices"][0]["message"], message);
    assert_eq!(answer["diffusion"]["ignored"], json!(["strange"]));
    assert!(
        answer["diffusion"]["note"]
            .as_str()
            .unwrap()
            .contains("no chat template")
    );
    let penalty = &answer["diffusion"]["settings"]["sampler"]["frequency"]["penalty"];
    assert!(penalty.as_f64().unwrap() > 0.0, "OpenAI's 0 is the default");

    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let chunks = server.chunks("/v1/chat/completions", &streamed).await;
    assert_eq!(
        chunks[0]["choices"][0]["delta"],
        json!({ "role": "assistant", "content": "" })
    );
    let deltas = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
    assert_eq!(deltas.collect::<String>(), expected.text);
    assert_eq!(chunks.last().unwrap()["choices"][0]["delta"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn provisional_text_comes_in_empty_chunks_and_ends_as_the_text() {
    let server = Server::start(Options::default()).await;
    let settings = json!({ "tokens": 64, "seed": 7, "stream": "steps", "interval_ms": 0, "stop_at_end": false, "temperature": 1.0 });
    let mut body = body(&settings);
    body["stream"] = json!(true);
    let chunks = server.chunks("/v1/completions", &body).await;
    let words = tokenizer();
    let (mut canvas, mut blocks, mut provisional) = (BTreeMap::new(), Vec::new(), 0);
    for chunk in &chunks {
        let told = &chunk["diffusion"];
        match told["event"].as_str().unwrap() {
            "step" => {
                assert_eq!(chunk["choices"][0]["text"], "");
                for entry in told["set"].as_array().unwrap() {
                    let (position, committed) = (entry[0].as_u64().unwrap(), entry[4].as_bool().unwrap());
                    assert!((0.0..=1.0).contains(&entry[3].as_f64().unwrap()));
                    provisional += usize::from(!committed);
                    canvas.insert(position, (entry[1].as_u64().unwrap(), committed));
                }
            }
            "block" => {
                let canvas = std::mem::take(&mut canvas);
                assert!(
                    canvas.values().all(|(_, committed)| *committed),
                    "every committed token was told"
                );
                let bytes: Vec<u8> = canvas
                    .values()
                    .flat_map(|(id, _)| words.bytes_of(*id as u32).to_vec())
                    .collect();
                assert_eq!(
                    told["tokens"][1].as_u64().unwrap() - told["tokens"][0].as_u64().unwrap(),
                    bytes.len() as u64
                );
                blocks.push(bytes);
            }
            _ => {}
        }
    }
    assert!(provisional > 0);
    assert_eq!(blocks.len(), 4);
    let text = String::from_utf8_lossy(&blocks.concat()).into_owned();
    assert_eq!(text_of(&chunks), text.strip_prefix(' ').unwrap_or(&text));
    let plain = json!({ "tokens": 64, "seed": 7, "stop_at_end": false, "temperature": 1.0 });
    let expected = written(|tokenizer| Task::behind(PROMPT, tokenizer).unwrap(), &plain, 0);
    assert_eq!(text_of(&chunks), expected.text, "showing changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_are_filled_between_what_stays() {
    let server = Server::start(Options::default()).await;
    let (before, after) = ("The old ", " stood on a hill.");
    let settings = json!({ "seed": 3 });
    let marked = format!("{before}[[10]]{after}");
    let whole = written(|tokenizer| Task::within(&marked, tokenizer).unwrap(), &settings, 0).text;
    let gap = whole.strip_prefix("The old").unwrap().strip_suffix(after).unwrap();

    let suffixed = json!({ "prompt": before, "suffix": after, "max_tokens": 10, "seed": 3 });
    for path in ["/v1/completions", "/v1/fim/completions"] {
        let (_, _, answer) = server.post(path, &suffixed).await;
        assert_eq!(answer["choices"][0]["text"], gap.strip_prefix(' ').unwrap_or(gap));
        assert_eq!(answer["usage"]["completion_tokens"], 10);
    }
    let infill = json!({ "prompt": marked, "diffusion": { "seed": 3, "infill": true } });
    let answer = server.complete(&infill).await;
    assert_eq!(answer["choices"][0]["text"], whole);
    let span = json!([{ "from": 7, "to": 17, "text": gap, "tokens": 10 }]);
    assert_eq!(answer["choices"][0]["diffusion"]["spans"], span);

    let mut streamed = suffixed.clone();
    streamed["stream"] = json!(true);
    assert_eq!(
        text_of(&server.chunks("/v1/completions", &streamed).await),
        gap.strip_prefix(' ').unwrap_or(gap)
    );

    let long = json!({ "prompt": "a".repeat(1000), "suffix": "b".repeat(1000), "max_tokens": 8, "seed": 3 });
    let answer = server.complete(&long).await;
    assert!(answer["diffusion"]["note"].as_str().unwrap().contains("128 tokens"));

    let stopped =
        json!({ "prompt": before, "suffix": after, "max_tokens": 10, "seed": 3, "stop": gap.trim().get(1..2) });
    let answer = server.complete(&stopped).await;
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}
