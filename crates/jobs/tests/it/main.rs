//! Batch files and sweeps with tiny random networks.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod batch;
#[path = "../../../generation/tests/it/common.rs"]
#[allow(dead_code, reason = "the engine's own tests use the rest")]
mod common;
mod edited;
mod fuzz_lines;
mod own_lines;
mod report;
mod sweep;
