//! The engine and jobs with tiny random networks.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod batch;
mod common;
mod compute;
mod engine;
mod frequency;
mod guidance;
mod passes;
mod prompt;
mod retrieval;
mod sparse;
mod tree;
