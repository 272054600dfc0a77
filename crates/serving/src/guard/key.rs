//! The key that clients must have, if the server was given one.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use crate::error::ApiError;
use crate::state::State;

/// What can be asked without a key.
const OPEN: [&str; 4] = ["/", "/health", "/live", "/metrics"];

/// Refuses requests without the key.
pub(crate) async fn key(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    if let Some(key) = &state.options.key
        && !OPEN.contains(&request.uri().path())
        && !request.uri().path().starts_with("/page/")
    {
        let sent = request
            .headers()
            .get(header::AUTHORIZATION)
            .map(|value| value.as_bytes());
        let sent = sent.and_then(|sent| sent.strip_prefix(b"Bearer ")).unwrap_or_default();
        if !bool::from(sent.ct_eq(key.as_bytes())) {
            return ApiError::no_key().into_response();
        }
    }
    next.run(request).await
}
