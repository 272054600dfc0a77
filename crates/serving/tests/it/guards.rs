//! Who may call.

use axum::body::Body;
use axum::http::Request;
use drdiff_serving::Options;
use serde_json::json;

use crate::fixture::{Server, text};

fn get(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let request = headers.iter().fold(Request::get(path), |request, (name, value)| {
        request.header(*name, *value)
    });
    request.body(Body::empty()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_wanted_where_one_is_set() {
    let server = Server::start(Options {
        key: None,
        ..Options::default()
    })
    .await;
    assert_eq!(server.get("/v1/models").await.0.as_u16(), 200);
    let (router, _worker) = drdiff_serving::server(Options {
        key: Some("secret".to_owned()),
        ..Options::default()
    });
    let ask = |path: &'static str, headers: &'static [(&str, &str)]| {
        let router = router.clone();
        async move { tower::ServiceExt::oneshot(router, get(path, headers)).await.unwrap() }
    };
    for headers in [
        &[][..],
        &[("authorization", "Bearer wrong")],
        &[("authorization", "secret")],
    ] {
        let response = ask("/v1/models", headers).await;
        assert_eq!(response.status().as_u16(), 401);
        assert!(text(response).await.contains("authentication_error"));
    }
    // The model is not loaded.
    assert_eq!(
        ask("/v1/models", &[("authorization", "Bearer secret")])
            .await
            .status()
            .as_u16(),
        503
    );
    for path in ["/", "/live", "/metrics"] {
        assert_eq!(ask(path, &[]).await.status().as_u16(), 200, "{path}");
    }
    let health = ask("/health", &[]).await;
    assert_eq!(health.status().as_u16(), 503);
    assert_eq!(health.headers()["retry-after"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_server_answers_to_local_names_alone() {
    let server = Server::start(Options::default()).await;
    for (host, status) in [("localhost:8080", 200), ("127.0.0.1", 200), ("evil.example", 403)] {
        assert_eq!(
            server.send(get("/health", &[("host", host)])).await.status().as_u16(),
            status,
            "{host}"
        );
    }
    let open = Server::start(Options {
        local: false,
        ..Options::default()
    })
    .await;
    assert_eq!(
        open.send(get("/health", &[("host", "evil.example")]))
            .await
            .status()
            .as_u16(),
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_one_origin_may_call_if_it_was_named() {
    let origin = [("origin", "https://app.example")];
    let server = Server::start(Options::default()).await;
    let allowed = "access-control-allow-origin";
    assert!(
        !server
            .send(get("/health", &origin))
            .await
            .headers()
            .contains_key(allowed)
    );
    let open = Server::start(Options {
        cors: Some("https://app.example".to_owned()),
        ..Options::default()
    })
    .await;
    assert_eq!(
        open.send(get("/health", &origin)).await.headers()[allowed],
        "https://app.example"
    );
    let preflight = Request::options("/v1/completions").header("origin", "https://app.example");
    let preflight = preflight
        .header("access-control-request-method", "POST")
        .body(Body::empty())
        .unwrap();
    assert_eq!(open.send(preflight).await.headers()[allowed], "https://app.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said() {
    let server = Server::start(Options::default()).await;
    for (path, words) in [
        ("/v1/responses", "/v1/chat/completions"),
        ("/v1/files/abc", "drdiff batch"),
        ("/v2", "/v1/completions"),
    ] {
        let (status, answer) = server.get(path).await;
        assert_eq!(status.as_u16(), 404);
        assert!(answer.contains(words), "{answer}");
    }
    let (status, answer) = server.get("/v1/completions").await;
    assert_eq!(status.as_u16(), 405);
    assert!(answer.contains("method_not_allowed"), "{answer}");
    let page = server.send(get("/", &[])).await;
    assert!(
        page.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .starts_with("default-src 'self'")
    );
    assert!(text(page).await.contains("<h1>drdiff serve</h1>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_are_refused() {
    let server = Server::start(Options {
        max_body: 1000,
        ..Options::default()
    })
    .await;
    let (status, _, answer) = server
        .post("/v1/completions", &json!({ "prompt": "a".repeat(2000) }))
        .await;
    assert_eq!(
        (status.as_u16(), &answer["error"]["code"]),
        (413, &json!("body_too_large"))
    );
}
