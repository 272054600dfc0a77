//! The project's own chores: `cargo xtask <chore>`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a terminal tool: printing is its job"
)]

mod ci;
mod cuda;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run every check of the project and print how long each took.
    Ci(ci::Args),
    /// Build `drdiff` with CUDA on a machine that has neither a GPU nor a toolkit.
    Cuda(cuda::Args),
    /// Check the rules that neither the compiler nor clippy knows.
    Tidy,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    match Args::parse().chore {
        Chore::Ci(args) => ci::run(&root, &args),
        Chore::Cuda(args) => cuda::run(&root, &args),
        Chore::Tidy => tidy::run(&root),
    }
}
