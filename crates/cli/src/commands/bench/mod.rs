//! `drdiff bench`: what this machine reaches, as a table or as JSON lines that scripts can compare with other programs.

mod args;
mod attention;
mod causal;
mod clock;
mod generate;
mod naive;
mod pattern;
mod process;
mod random;
mod report;
mod retrieval;
mod row;
mod train;

use std::env;
use std::process::Command;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::exit::{self, Exit};
use crate::threads;
use args::Common;
use report::Report;

const EXAMPLES: &str = "\
Examples:
  drdiff bench train --device cuda --batch 16,64 --runs 20
  drdiff bench attention --device cuda --lengths 4k,16k,64k
  drdiff bench attention --plan ring --lengths 16k --batch 1 --threads 1
  drdiff bench generate --settings 1x1,8x8 --threads 1
  drdiff bench generate --random-165m --threads 1 --json

Times are medians after a warm-up. docs/performance.md says what is counted and how to compare.
";

/// Variables from which rayon and candle read their number of threads, once.
const THREADS: [&str; 2] = [threads::RAYON, "CANDLE_NUM_THREADS"];

/// Arguments of `drdiff bench`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Time optimiser steps
    Train(train::TrainArgs),
    /// Time attention over a plan, forward and backward
    Attention(attention::AttentionArgs),
    /// Time writing text, and loading a model
    Generate(generate::GenerateArgs),
}

impl BenchCommand {
    fn common(&self) -> &Common {
        match self {
            Self::Train(args) => &args.common,
            Self::Attention(args) => &args.common,
            Self::Generate(args) => &args.common,
        }
    }
}

pub(crate) fn run(args: &BenchArgs) -> Result<Exit> {
    let common = args.command.common();
    if let Some(threads) = common.threads
        && !has_threads(threads)
    {
        return again(threads);
    }
    let mut report = Report::new(common.json);
    match &args.command {
        BenchCommand::Train(args) => train::run(args, &mut report)?,
        BenchCommand::Attention(args) => attention::run(args, &mut report)?,
        BenchCommand::Generate(args) => generate::run(args, &mut report)?,
    }
    report.finish()?;
    Ok(Exit::Done)
}

fn has_threads(threads: usize) -> bool {
    THREADS
        .iter()
        .all(|name| env::var(name).is_ok_and(|value| value == threads.to_string()))
}

/// Runs the same command with a number of threads. It must be in the environment before the process starts: it is
/// read once, deep in other crates, and a process cannot change its own environment safely.
fn again(threads: usize) -> Result<Exit> {
    const WHAT: &str = "cannot start the program again with --threads";
    let mut command = Command::new(env::current_exe().context(WHAT)?);
    command
        .args(env::args_os().skip(1))
        .envs(THREADS.map(|name| (name, threads.to_string())));
    becomes(command).context(WHAT)
}

/// This process becomes the other, so that a signal to it reaches the one that works.
#[cfg(unix)]
fn becomes(mut command: Command) -> std::io::Result<Exit> {
    Err(std::os::unix::process::CommandExt::exec(&mut command))
}

#[cfg(not(unix))]
fn becomes(mut command: Command) -> std::io::Result<Exit> {
    Ok(Exit::of_child(command.status()?.code()))
}
