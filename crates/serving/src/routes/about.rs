//! What the server tells of itself.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::ApiResult;
use crate::json;
use crate::openapi::description;
use crate::state::State;

/// The page.
const PAGE: &str = include_str!("../page/index.html");

/// What the page may load: itself alone.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

pub(super) async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, PAGE).into_response()
}

pub(super) async fn version(Shared(state): Shared<Arc<State>>) -> ApiResult<Response> {
    let served = state.served()?;
    let version = json!({ "version": env!("CARGO_PKG_VERSION"), "commit": served.commit });
    Ok(json::response(StatusCode::OK, &version))
}

pub(super) async fn openapi() -> Response {
    json::response(StatusCode::OK, &description())
}
