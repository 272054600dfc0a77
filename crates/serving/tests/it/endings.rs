//! Queues, clients that go away, time limits, and the end of the server.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use drdiff_generation::Task;
use drdiff_serving::{Ended, Options};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::fixture::{Server, frames, text, written};

/// A text that takes long.
fn long(stream: bool) -> Value {
    json!({ "prompt": "The", "max_tokens": 8192, "stream": stream, "diffusion": { "block_size": 1, "stop_at_end": false } })
}

fn one_seat() -> Options {
    Options {
        slots: 1,
        max_waiting: 1,
        ..Options::default()
    }
}

async fn running(server: &Server, texts: f64) {
    server
        .until(|| async { server.metric("drdiff_requests_running").await == texts })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_frees_the_seat_within_two_passes_and_changes_no_other_text() {
    let server = Server::start(Options::default()).await;
    let settings = json!({ "tokens": 400, "seed": 3, "block_size": 4, "stop_at_end": false });
    let other = json!({ "prompt": "Once", "diffusion": settings });
    let expected = written(|tokenizer| Task::behind("Once", tokenizer).unwrap(), &settings, 0).text;
    for stream in [true, false] {
        let kept = async { server.complete(&other).await["choices"][0]["text"].clone() };
        let gone = async {
            let passes = async {
                let body = long(stream).to_string();
                if stream {
                    let mut body = server.begin("/v1/completions", body).await.into_body();
                    // The start, and the first block.
                    body.frame().await.unwrap().unwrap();
                    body.frame().await.unwrap().unwrap();
                    drop(body);
                } else {
                    let answer =
                        tokio::time::timeout(Duration::from_millis(300), server.begin("/v1/completions", body));
                    assert!(answer.await.is_err(), "it takes longer");
                }
                server.metric("drdiff_passes_total").await
            };
            let before = passes.await;
            // Passes go on for the other text, if it is not complete.
            server
                .until(|| async {
                    let slots = server.metric("drdiff_requests_running").await;
                    let passes = server.metric("drdiff_passes_total").await;
                    // A pass is counted before the gauges are set again.
                    assert!(
                        slots < 2.0 || passes <= before + 3.0,
                        "{passes} passes, {before} before"
                    );
                    slots < 2.0
                })
                .await;
        };
        let (text, ()) = tokio::join!(kept, gone);
        assert_eq!(text, expected);
        running(&server, 0.0).await;
    }
    let (_, page) = server.get("/metrics").await;
    let cancelled = page.lines().find(|line| line.contains("finish=\"cancelled\"")).unwrap();
    assert!(cancelled.ends_with(" 2"), "{cancelled}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_queue_holds_is_told_to_come_back() {
    let server = Server::start(one_seat()).await;
    let first = server.begin("/v1/completions", long(true).to_string()).await;
    running(&server, 1.0).await;
    let second = server.begin("/v1/completions", long(true).to_string()).await;
    server
        .until(|| async { server.metric("drdiff_requests_waiting").await == 1.0 })
        .await;
    // Whether the prompt could be read does not matter: nothing of it is read.
    let (status, headers, answer) = server.post("/v1/completions", &json!({ "prompt": "a\u{0}" })).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("queue_full"))
    );
    assert_eq!(answer["error"]["type"], "overloaded_error");
    let seconds: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    let mut waiting = second.into_body();
    let comment = waiting.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(&comment[..], b": waiting 0\n\n");
    drop((first, waiting));
    running(&server, 0.0).await;
    server.complete(&json!({ "prompt": "a", "max_tokens": 2 })).await;
    assert_eq!(
        server.metric("drdiff_rejections_total{reason=\"queue_full\"}").await,
        1.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_and_texts_have_limits() {
    let options = Options {
        queue_timeout: Duration::from_millis(200),
        timeout: Duration::from_millis(600),
        ..one_seat()
    };
    let server = Server::start(options).await;
    let first = server.begin("/v1/completions", long(true).to_string()).await;
    running(&server, 1.0).await;
    let (status, _, answer) = server.post("/v1/completions", &long(false)).await;
    assert_eq!(
        (status.as_u16(), &answer["error"]["code"]),
        (503, &json!("queue_timeout"))
    );
    // The stream has begun, so its error is a frame, and it is not done.
    let frames = frames(&text(first).await);
    assert_eq!(frames.last().unwrap()["error"]["code"], "timeout");
    let (status, _, answer) = server.post("/v1/completions", &long(false)).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (504, &json!("timeout")));
    running(&server, 0.0).await;
    // A text is scored token by token.
    let scored = json!({ "prompt": "a".repeat(20_000), "echo": true, "logprobs": 1, "max_tokens": 1 });
    let (status, _, answer) = server.post("/v1/completions", &scored).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (504, &json!("timeout")));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_given_up() {
    let options = Options {
        patience: Duration::from_millis(300),
        ..Options::default()
    };
    let server = Server::start(options).await;
    // 256 frames may lie unread, and this text has more.
    let unread = server.begin("/v1/completions", long(true).to_string()).await;
    running(&server, 1.0).await;
    let begun = Instant::now();
    running(&server, 0.0).await;
    assert!(begun.elapsed() < Duration::from_secs(30));
    let frames = frames(&text(unread).await);
    assert!(frames.len() >= 256 && frames.last() != Some(&json!("[DONE]")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_ends_when_its_texts_have() {
    let server = Server::start(Options::default()).await;
    let body = json!({ "prompt": "The", "max_tokens": 600, "diffusion": { "block_size": 1, "stop_at_end": false } });
    let (text, ()) = tokio::join!(server.complete(&body), async {
        running(&server, 1.0).await;
        server.stop();
        server
            .until(|| async { server.get("/health").await.0 == StatusCode::SERVICE_UNAVAILABLE })
            .await;
        let (status, _, answer) = server.post("/v1/completions", &json!({ "prompt": "a" })).await;
        assert_eq!((status.as_u16(), &answer["error"]["code"]), (503, &json!("draining")));
        assert_eq!(server.get("/live").await.0, StatusCode::OK);
    });
    assert_eq!(text["usage"]["completion_tokens"], 600);
    assert_eq!(server.ended(), Ended::Whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_take_too_long_are_cut_at_the_end() {
    let server = Server::start(Options {
        drain: Duration::from_millis(100),
        ..Options::default()
    })
    .await;
    let response = server.begin("/v1/completions", long(true).to_string()).await;
    running(&server, 1.0).await;
    server.stop();
    let frames = frames(&text(response).await);
    assert_eq!(frames.last().unwrap()["error"]["code"], "draining");
    assert_eq!(server.ended(), Ended::Cut(1));
}
