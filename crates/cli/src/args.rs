//! The command line as it is typed.

use clap::builder::{RangedU64ValueParser, TypedValueParser};
use clap::{Parser, Subcommand};

use crate::commands::batch::BatchArgs;
use crate::commands::bench::BenchArgs;
use crate::commands::completions::CompletionsArgs;
use crate::commands::config::ConfigArgs;
use crate::commands::data::DataArgs;
use crate::commands::eval::EvalArgs;
use crate::commands::export::ExportArgs;
use crate::commands::fit_grid::FitGridArgs;
use crate::commands::generate::GenerateArgs;
use crate::commands::inspect::InspectArgs;
use crate::commands::sweep::SweepArgs;
use crate::commands::train::TrainArgs;
use crate::exit;

/// Writes long text with diffusion language models, and trains them.
#[derive(Debug, Parser)]
#[command(name = "drdiff", version = VERSION, after_help = format!("{ENVIRONMENT}\n\n{}", exit::HELP), arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write text after a prompt, or into gaps
    Generate(GenerateArgs),
    /// Write a file of requests, and go on where an earlier run ended
    Batch(Box<BatchArgs>),
    /// Prepare text for training
    Data(DataArgs),
    /// Train a model
    Train(TrainArgs),
    /// Make a small model for CPUs out of a checkpoint
    Export(ExportArgs),
    /// Tell what a model or a prepared corpus holds
    Inspect(InspectArgs),
    /// Show configurations
    Config(ConfigArgs),
    /// Measure how fast this machine trains, attends and writes
    Bench(BenchArgs),
    /// Find out how few steps are enough: one report over many settings
    Sweep(SweepArgs),
    /// Measure a model on held-out text, and texts by what they are
    Eval(EvalArgs),
    /// Fit the levels at which a model is asked to the model
    FitGrid(FitGridArgs),
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
}

const ENVIRONMENT: &str = "\
Environment:
  DRDIFF_MODEL  model of the commands that are given none, a folder or a weights file [default: the bundled one]";

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("DRDIFF_COMMIT"), ")");

/// Whole numbers from 1 on.
pub(crate) fn at_least_one() -> impl TypedValueParser<Value = usize> {
    RangedU64ValueParser::<usize>::new().range(1..)
}
