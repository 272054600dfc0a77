//! The model that is served.

use std::sync::Arc;

use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use crate::error::ApiResult;
use crate::json;
use crate::state::State;

pub(super) async fn list(Shared(state): Shared<Arc<State>>) -> ApiResult<Response> {
    let card = state.served()?.card(state.created());
    Ok(json::response(
        StatusCode::OK,
        &json!({ "object": "list", "data": [card] }),
    ))
}

pub(super) async fn one(Shared(state): Shared<Arc<State>>, Path(id): Path<String>) -> ApiResult<Response> {
    let served = state.served()?;
    served.called(&id)?;
    Ok(json::response(StatusCode::OK, &served.card(state.created())))
}
