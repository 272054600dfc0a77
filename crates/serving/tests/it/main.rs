//! The server over its router, with a small model.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod bodies;
mod endings;
mod fixture;
mod guards;
mod storm;
mod texts;
mod tokens;
