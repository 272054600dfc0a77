//! Many clients of all kinds at once: every one that stays is answered, and the counters add up.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use drdiff_serving::Options;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::task::JoinSet;

use crate::fixture::{Server, frames, text};

/// What a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Plain,
    Streamed,
    /// Goes away after so many milliseconds.
    Gone(u64),
    /// Sends a body that cannot be served.
    Wrong,
    /// Opens a stream and reads nothing of it.
    Silent,
}

impl Kind {
    fn of(number: usize) -> Self {
        match number % 500 {
            7 => Self::Silent,
            at if at % 50 == 3 => Self::Wrong,
            at if at % 20 == 1 => Self::Gone(at as u64 % 37),
            at if at % 2 == 0 => Self::Streamed,
            _ => Self::Plain,
        }
    }
}

/// What a client got.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Text,
    Refused,
    Nothing,
}

async fn client(server: &Server, number: usize) -> (Kind, Got) {
    let kind = Kind::of(number);
    let streams = kind != Kind::Plain;
    let mut body =
        json!({ "prompt": format!("Tale {number}"), "max_tokens": 8 + number % 17, "seed": number, "stream": streams });
    if kind == Kind::Wrong {
        body["max_tokens"] = json!("many");
    }
    if kind == Kind::Silent {
        body["max_tokens"] = json!(1000);
        // More frames than may lie unread.
        body["diffusion"] = json!({ "block_size": 1, "stop_at_end": false });
    }
    let ask = async {
        loop {
            let response = server.begin("/v1/completions", body.to_string()).await;
            match response.status() {
                StatusCode::SERVICE_UNAVAILABLE => tokio::time::sleep(Duration::from_millis(5)).await,
                StatusCode::OK if kind == Kind::Silent => {
                    // The body is kept, and not read, for longer than the server lets it.
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    drop(response);
                    return Got::Nothing;
                }
                StatusCode::OK => {
                    let answer = text(response).await;
                    let whole = !streams || frames(&answer).last() == Some(&json!("[DONE]"));
                    assert!(whole, "{answer}");
                    return Got::Text;
                }
                status => {
                    assert_eq!(status, StatusCode::BAD_REQUEST);
                    return Got::Refused;
                }
            }
        }
    };
    let got = match kind {
        Kind::Gone(after) => tokio::time::timeout(Duration::from_millis(after), ask)
            .await
            .unwrap_or(Got::Nothing),
        _ => ask.await,
    };
    (kind, got)
}

/// Resident memory in bytes, where the system tells it.
fn memory() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok())
        .unwrap_or(0)
        * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stays_is_answered_and_the_counters_add_up() {
    let requests = std::env::var("DRDIFF_REQUESTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1000_usize);
    let options = Options {
        patience: Duration::from_millis(500),
        ..Options::default()
    };
    let server = Arc::new(Server::start(options).await);
    let (mut clients, mut texts, mut refused, mut next) = (JoinSet::new(), 0, 0, 0);
    let mut before = 0;
    while next < requests || !clients.is_empty() {
        while next < requests && clients.len() < 100 {
            let (server, number) = (server.clone(), next);
            clients.spawn(async move { client(&server, number).await });
            next += 1;
        }
        let (kind, got) = clients.join_next().await.unwrap().unwrap();
        match (kind, got) {
            (Kind::Plain | Kind::Streamed, Got::Text) => texts += 1,
            (Kind::Gone(_), Got::Text) => texts += 1,
            (Kind::Wrong, Got::Refused) => refused += 1,
            (Kind::Gone(_) | Kind::Silent, Got::Nothing) => {}
            other => panic!("{other:?}"),
        }
        if next == requests / 4 {
            before = memory();
        }
    }
    server
        .until(|| async { server.metric("drdiff_requests_running").await == 0.0 })
        .await;
    assert_eq!(server.metric("drdiff_requests_waiting").await, 0.0);
    let (_, page) = server.get("/metrics").await;
    let count = |what: &str| -> f64 {
        let lines = page
            .lines()
            .filter(|line| line.starts_with("drdiff_requests_total{") && line.contains(what));
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    };
    assert_eq!(count("code=\"400\""), f64::from(refused));
    // Some were written to the end although their client had gone.
    assert!(count("code=\"200\"") >= f64::from(texts), "{page}");
    assert_eq!(count("code=\"500\""), 0.0);
    let gone = count("finish=\"cancelled\"");
    assert!(
        count("code=\"200\"") + gone <= (requests as f64) - f64::from(refused),
        "{page}"
    );
    if requests > 5000 {
        let grown = memory().saturating_sub(before);
        assert!(grown < 64 << 20, "memory has grown by {grown} bytes");
    }
    // Nobody keeps a place.
    server
        .complete(&json!({ "prompt": vec!["a"; 68], "max_tokens": 1 }))
        .await;
    let mut last = server
        .begin(
            "/v1/completions",
            json!({ "prompt": "a", "max_tokens": 4, "stream": true }).to_string(),
        )
        .await
        .into_body();
    assert!(last.frame().await.is_some());
}
