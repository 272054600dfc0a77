//! JSON in answers and in bodies.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use drdiff_generation::values::tidy;
use serde_json::{Map, Value};

use crate::error::{ApiError, ApiResult};

/// An answer of JSON.
pub(crate) fn response(status: StatusCode, value: &Value) -> Response {
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], value.to_string()).into_response()
}

/// Reads a body of at most `limit` bytes that must be an object. Nulls in it are absent.
pub(crate) async fn object(headers: &HeaderMap, body: Body, limit: usize) -> ApiResult<Map<String, Value>> {
    if let Some(kind) = headers.get(header::CONTENT_TYPE) {
        let kind = kind.to_str().unwrap_or_default();
        let name = kind.split(';').next().unwrap_or_default().trim();
        if !name.eq_ignore_ascii_case("application/json") {
            let message = format!("the content type is {kind:?}; send JSON as `application/json`");
            return Err(ApiError::bad(None, message));
        }
    }
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    let length = length.and_then(|value| value.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) {
        return Err(ApiError::too_large(limit));
    }
    // Of what fails while a body is read only its length can still be told to the client.
    let bytes = to_bytes(body, limit).await.map_err(|_| ApiError::too_large(limit))?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(map)) => Ok(tidy(map)),
        Ok(_) => Err(ApiError::bad(
            None,
            "the body is JSON, but no object; send {\"prompt\": …}",
        )),
        Err(error) => Err(ApiError::bad(None, format!("the body is not JSON: {error}"))),
    }
}
