//! What a client is told when something cannot be done: OpenAI's error object.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use drdiff_generation::openai::FieldError;
use drdiff_generation::{Choices, Error as GenerationError};
use serde_json::{Value, json};

use crate::json;

/// A refusal or a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    param: Option<String>,
    message: String,
    /// Seconds after which the client may try again.
    retry_after: Option<u64>,
}

const INVALID: &str = "invalid_request_error";

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, code: impl Into<Option<&'static str>>, message: String) -> Self {
        Self {
            status,
            kind,
            code: code.into(),
            param: None,
            message,
            retry_after: None,
        }
    }

    /// A body that cannot be served; `param` is the path of the field.
    pub(crate) fn bad(param: impl Into<Option<&'static str>>, message: impl Into<String>) -> Self {
        Self {
            param: param.into().map(str::to_owned),
            ..Self::new(StatusCode::BAD_REQUEST, INVALID, None, message.into())
        }
    }

    /// A text or a block that is longer than the model or the server allows.
    pub(crate) fn too_long(param: &'static str, message: String) -> Self {
        let code = "context_length_exceeded";
        Self {
            param: Some(param.to_owned()),
            ..Self::new(StatusCode::BAD_REQUEST, INVALID, code, message)
        }
    }

    pub(crate) fn no_key() -> Self {
        let message = "the key is missing or wrong; send it as `Authorization: Bearer KEY`";
        let kind = "authentication_error";
        Self::new(StatusCode::UNAUTHORIZED, kind, "invalid_api_key", message.to_owned())
    }

    pub(crate) fn wrong_host(host: &str) -> Self {
        let message = format!(
            "the server listens on this machine alone and is not called {host:?}; use localhost, or start it with --host"
        );
        Self::new(StatusCode::FORBIDDEN, "permission_error", "host_not_allowed", message)
    }

    pub(crate) fn no_model(name: &str, has: &[String]) -> Self {
        let message = format!(
            "there is no model {name:?} here; use {:?}",
            has.first().map_or("", String::as_str)
        );
        Self {
            param: Some("model".to_owned()),
            ..Self::new(StatusCode::NOT_FOUND, INVALID, "model_not_found", message)
        }
    }

    pub(crate) fn no_route(message: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, INVALID, "not_found", message)
    }

    pub(crate) fn wrong_method(message: String) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, INVALID, "method_not_allowed", message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("the body has more than {limit} bytes; send less, or start the server with --max-body");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID, "body_too_large", message)
    }

    fn unavailable(code: &'static str, message: &str, seconds: u64) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self {
            retry_after: Some(seconds),
            ..Self::new(status, "overloaded_error", code, message.to_owned())
        }
    }

    /// All places are taken, and one is free again in so many seconds.
    pub(crate) fn full(seconds: u64) -> Self {
        Self::unavailable("queue_full", "all places are taken; try again later", seconds)
    }

    pub(crate) fn waited_too_long() -> Self {
        let message = "the request waited for a place longer than the server lets it; try again later";
        Self::unavailable("queue_timeout", message, 1)
    }

    pub(crate) fn loading() -> Self {
        Self::unavailable("loading", "the model is being loaded; try again soon", 1)
    }

    pub(crate) fn draining() -> Self {
        Self::unavailable("draining", "the server is about to end; ask another one", 1)
    }

    pub(crate) fn broken() -> Self {
        Self::unavailable(
            "failed",
            "a network pass failed, and the server ends; ask another one",
            10,
        )
    }

    /// A text that was cut because the server ends.
    pub(crate) fn cut() -> Self {
        Self::unavailable("draining", "the server ended before the text did; ask again", 1)
    }

    pub(crate) fn ran_too_long() -> Self {
        let message = "the text took longer than the server lets it; ask for fewer tokens".to_owned();
        Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout_error", "timeout", message)
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "server_error", "internal_error", message.into())
    }

    /// A request that the engine refused, or that failed in it. Whose `choices` they are decides whether the request is to blame.
    pub(crate) fn of_engine(error: &GenerationError, choices: &Choices) -> Self {
        let message = error.to_string();
        if !error.is_of_request(choices) {
            return Self::failed(message);
        }
        match error {
            GenerationError::NotANumber { .. } | GenerationError::Damaged => Self::failed(message),
            GenerationError::Length { what, .. } => match *what {
                "a text to fill" | "gaps" | "a prompt" => Self::too_long("prompt", message),
                "a block" => Self::too_long("diffusion.block_size", message),
                "a number of tokens" | "a gap length" => Self::bad("max_tokens", message),
                "a block size" => Self::bad("diffusion.block_size", message),
                _ => Self::bad("diffusion.steps", message),
            },
            GenerationError::IdleSteps { .. } => Self::bad("diffusion.steps", message),
            GenerationError::StyleGuidance(_) => Self::bad("diffusion.style_guidance", message),
            GenerationError::Compute(_) => Self::bad("diffusion.compute", message),
            GenerationError::Plan { .. } | GenerationError::Attention(_) => Self::bad("diffusion.attention", message),
            GenerationError::EmptyStop => Self::bad("stop", message),
            GenerationError::Model(_) if choices.is_empty() => Self::bad(None, message),
            GenerationError::EmptyGap
            | GenerationError::NoGap
            | GenerationError::Nul
            | GenerationError::UnknownToken { .. } => Self::bad("prompt", message),
            _ => Self::bad("diffusion", message),
        }
    }

    /// The object that clients read.
    pub(crate) fn body(&self) -> Value {
        json!({ "error": { "message": self.message, "type": self.kind, "param": self.param, "code": self.code } })
    }
}

impl From<FieldError> for ApiError {
    fn from(error: FieldError) -> Self {
        Self {
            param: Some(error.field),
            ..Self::bad(None, error.words)
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = json::response(self.status, &self.body());
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

/// Results for clients.
pub(crate) type ApiResult<T> = Result<T, ApiError>;
