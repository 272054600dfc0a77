//! An HTTP server in the form of OpenAI's API, for one model.
//!
//! [`server`] gives a [`Router`] and a [`Worker`]. The thread that computes calls [`Worker::run`], which alone owns the engine; handlers hand it
//! commands, which it takes between passes. [`Http`] gives the router sockets. Nothing is printed: a line of `tracing` tells of each answer.
//!
//! Texts depend on their seed, their settings and their number among the texts of a request, never on what else is served: with `n` left out,
//! a seed gives what `drdiff generate` gives.

mod answer;
mod ask;
mod error;
mod guard;
mod http;
mod json;
mod metrics;
mod openapi;
mod options;
mod routes;
mod served;
mod state;
mod work;

use std::sync::{Arc, mpsc};

use axum::Router;

pub use http::Http;
pub use options::Options;
pub use served::Served;
pub use work::{Ended, Worker};

use state::State;

/// The two sides of a server: what answers clients, and what computes. Until [`Worker::run`] is called the model is being loaded.
pub fn server(options: Options) -> (Router, Worker) {
    let (sender, commands) = mpsc::channel();
    let state = Arc::new(State::new(options, sender));
    (routes::router(state.clone()), Worker::new(state, commands))
}
