//! A server for this machine alone answers to local names alone: any web page can make a browser call it by another name that leads here.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;
use crate::state::State;

/// Refuses names that are not local, if the server is.
pub(crate) async fn host(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    if state.options.local {
        let header = request
            .headers()
            .get(header::HOST)
            .map(|host| host.to_str().unwrap_or_default());
        let host = request.uri().authority().map(|authority| authority.as_str()).or(header);
        if let Some(host) = host.filter(|host| !is_local(host)) {
            return ApiError::wrong_host(host).into_response();
        }
    }
    next.run(request).await
}

/// Whether a name, with a port or without, is one of this machine's for itself.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    name.eq_ignore_ascii_case("localhost") || name == "[::1]" || is_loopback(name)
}

fn is_loopback(name: &str) -> bool {
    name.parse::<std::net::Ipv4Addr>()
        .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_names_are_known() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]:8080",
            "[::1]",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:80",
            "10.0.0.1",
            "127.0.0.1.evil.example",
            "",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
