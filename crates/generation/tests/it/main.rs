//! The engine and jobs with tiny random networks.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod batch;
mod common;
mod compute;
mod edited;
mod engine;
mod frequency;
mod fuzz_lines;
mod guidance;
mod next_token;
mod other_network;
mod own_lines;
mod passes;
mod prompt;
mod retrieval;
mod sparse;
mod tree;
