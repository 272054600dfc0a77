//! Whether the server is well.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::{ApiError, ApiResult};
use crate::json;
use crate::state::State;

/// Whether texts are written: readiness.
pub(super) async fn health(Shared(state): Shared<Arc<State>>) -> ApiResult<Response> {
    match state.closed() {
        None => Ok(json::response(StatusCode::OK, &json!({ "status": "ok" }))),
        Some(error) => Err(error),
    }
}

/// Whether the engine turns: liveness.
pub(super) async fn live(Shared(state): Shared<Arc<State>>) -> ApiResult<Response> {
    match state.lives() {
        true => Ok(json::response(StatusCode::OK, &json!({ "status": "ok" }))),
        false => Err(ApiError::failed("the engine has not turned for too long")),
    }
}

pub(super) async fn metrics(Shared(state): Shared<Arc<State>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], state.metrics.page()).into_response()
}
