//! The program as users meet it: arguments in; text, sentences, files and exit codes out.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod bad_input;
mod batch;
mod batch_crash;
mod bench;
mod chat;
mod config;
mod data;
mod doors;
mod eval;
mod files;
mod fixture;
mod generate;
mod infill;
mod interrupt;
mod language_models;
mod outputs;
mod own_text;
mod reading;
mod routing;
mod serve;
mod sweep;
mod train;
mod verified;
