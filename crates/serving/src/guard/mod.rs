//! What stands before the routes: who may call, and from where.

mod host;
mod key;

use axum::extract::Request;
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowOrigin, CorsLayer};

pub(crate) use host::host;
pub(crate) use key::key;

use crate::error::ApiError;
use crate::options::Options;

/// The headers that let pages of other origins call; none are sent unless an origin was named.
pub(crate) fn cors(options: &Options) -> Option<CorsLayer> {
    let origin = HeaderValue::from_str(options.cors.as_deref()?).ok()?;
    let origins = match origin.as_bytes() {
        b"*" => AllowOrigin::any(),
        _ => AllowOrigin::exact(origin),
    };
    let cors = CorsLayer::new().allow_origin(origins);
    Some(
        cors.allow_methods([Method::GET, Method::POST])
            .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE]),
    )
}

/// Gives the errors of the framework itself the form that clients read.
pub(crate) async fn plain_errors(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    if !status.is_client_error() || kind.is_some_and(|kind| kind == "application/json") {
        return response;
    }
    let words = status.canonical_reason().unwrap_or("it cannot be served");
    let mut error = ApiError::bad(None, format!("the request cannot be served: {words}"));
    error.status = status;
    error.into_response()
}
