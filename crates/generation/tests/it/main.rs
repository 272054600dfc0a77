//! The engine with tiny random networks.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;
mod compute;
mod engine;
mod frequency;
mod guidance;
mod next_token;
mod other_network;
mod passes;
mod prompt;
mod retrieval;
mod score;
mod sparse;
mod tree;
mod verified;
