//! What the server tells of itself.

use std::sync::Arc;

use axum::extract::{Path, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::{ApiError, ApiResult};
use crate::json;
use crate::openapi::description;
use crate::state::State;

/// The page.
const PAGE: &str = include_str!("../page/index.html");

/// What it is made of: name, kind, content.
const PARTS: [(&str, &str, &str); 6] = [
    ("style.css", "text/css", include_str!("../page/style.css")),
    ("app.js", "text/javascript", include_str!("../page/app.js")),
    ("api.js", "text/javascript", include_str!("../page/api.js")),
    ("block.js", "text/javascript", include_str!("../page/block.js")),
    ("paper.js", "text/javascript", include_str!("../page/paper.js")),
    ("replay.js", "text/javascript", include_str!("../page/replay.js")),
];

/// What the page may load: parts of this server alone.
const POLICY: &str = "default-src 'self'; img-src data:; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; \
                      form-action 'none'";

pub(super) async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, PAGE).into_response()
}

/// A part of the page.
pub(super) async fn part(Path(name): Path<String>) -> ApiResult<Response> {
    let part = PARTS.iter().find(|(known, ..)| *known == name);
    let (_, kind, content) = part.ok_or_else(|| ApiError::no_route(format!("the page has no part {name:?}")))?;
    let headers = [
        (header::CONTENT_TYPE, format!("{kind}; charset=utf-8")),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, *content).into_response())
}

pub(super) async fn version(Shared(state): Shared<Arc<State>>) -> ApiResult<Response> {
    let served = state.served()?;
    let version = json!({ "version": env!("CARGO_PKG_VERSION"), "commit": served.commit });
    Ok(json::response(StatusCode::OK, &version))
}

pub(super) async fn openapi() -> Response {
    json::response(StatusCode::OK, &description())
}
