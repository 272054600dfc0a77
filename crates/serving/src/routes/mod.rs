//! The routes.

mod about;
mod health;
mod models;
mod tokens;
mod writing;

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

use crate::error::ApiError;
use crate::guard;
use crate::state::State;

/// All paths with what is served there, for the description of the API and for what is said about others.
pub(crate) const PATHS: [(&str, &str, &str); 14] = [
    ("get", "/", "The page"),
    (
        "post",
        "/v1/completions",
        "Writes on from prompts, or fills the gap before a suffix",
    ),
    ("post", "/v1/fim/completions", "The same: fills the gap before a suffix"),
    (
        "post",
        "/v1/chat/completions",
        "Answers the last message of a conversation",
    ),
    ("get", "/v1/models", "The model that is served"),
    ("get", "/v1/models/{id}", "The model of this name"),
    ("post", "/tokenize", "Token ids of a text or a conversation"),
    ("post", "/detokenize", "The text of token ids"),
    ("get", "/tokenizer_info", "Special tokens and the chat template"),
    ("get", "/health", "Whether texts are written now"),
    ("get", "/live", "Whether the engine turns"),
    ("get", "/metrics", "Counters, in the text format of Prometheus"),
    ("get", "/version", "The program's revision"),
    ("get", "/openapi.json", "This description"),
];

/// Routes that clients may look for, and what to use in their place.
const ELSEWHERE: [(&str, &str); 5] = [
    ("/v1/responses", "use /v1/chat/completions"),
    ("/v1/messages", "use /v1/chat/completions"),
    ("/v1/embeddings", "the model writes and gives no embeddings"),
    ("/v1/files", "give `drdiff batch` a file of requests"),
    ("/v1/batches", "give `drdiff batch` a file of requests"),
];

/// The routes with everything that stands before them.
pub(crate) fn router(state: Arc<State>) -> Router {
    let router = Router::new()
        .route("/", get(about::page))
        .route("/page/{name}", get(about::part))
        .route("/v1/completions", post(writing::completions))
        .route("/v1/fim/completions", post(writing::completions))
        .route("/v1/chat/completions", post(writing::chat))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::one))
        .route("/tokenize", post(tokens::tokenize))
        .route("/detokenize", post(tokens::detokenize))
        .route("/tokenizer_info", get(tokens::info))
        .route("/health", get(health::health))
        .route("/live", get(health::live))
        .route("/metrics", get(health::metrics))
        .route("/version", get(about::version))
        .route("/openapi.json", get(about::openapi))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(state.clone(), guard::key))
        .layer(from_fn_with_state(state.clone(), guard::host));
    let router = match guard::cors(&state.options) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    let failed = |_| ApiError::failed("the server failed to answer; this is an error in the program").into_response();
    router
        .layer(CatchPanicLayer::custom(failed))
        .layer(from_fn(guard::plain_errors))
        .with_state(state)
}

async fn unknown(uri: Uri) -> Response {
    let path = uri.path();
    let elsewhere = ELSEWHERE.iter().find(|(start, _)| path.starts_with(start));
    let remedy = match elsewhere {
        Some((_, remedy)) => (*remedy).to_owned(),
        None => {
            let known: Vec<&str> = PATHS.iter().map(|(_, path, _)| *path).collect();
            format!("known here: {}", known.join(", "))
        }
    };
    ApiError::no_route(format!("there is no {path:?} here; {remedy}")).into_response()
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let path = uri.path();
    ApiError::wrong_method(format!("{path:?} does not take {method}")).into_response()
}
