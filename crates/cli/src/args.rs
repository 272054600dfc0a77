//! The command line as it is typed.

use clap::builder::{RangedU64ValueParser, TypedValueParser};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::batch::BatchArgs;
use crate::commands::bench::BenchArgs;
use crate::commands::chat::ChatArgs;
use crate::commands::completions::CompletionsArgs;
use crate::commands::config::ConfigArgs;
use crate::commands::data::DataArgs;
use crate::commands::doctor::DoctorArgs;
use crate::commands::eval::EvalArgs;
use crate::commands::export::ExportArgs;
use crate::commands::generate::GenerateArgs;
use crate::commands::inspect::InspectArgs;
use crate::commands::man::ManArgs;
use crate::commands::models::ModelsArgs;
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
    /// Talk with a model
    Chat(ChatArgs),
    /// Write a file of requests, and go on where an earlier run ended
    Batch(Box<BatchArgs>),
    /// Prepare text for training
    Data(DataArgs),
    /// Train a model
    Train(TrainArgs),
    /// Make a small model for CPUs out of a checkpoint
    Export(ExportArgs),
    /// List the models that are here
    Models(ModelsArgs),
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
    /// Tell what this machine and this build have, and how fast the default model writes
    Doctor(DoctorArgs),
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
    /// Write manual pages
    Man(ManArgs),
}

const ENVIRONMENT: &str = "\
Environment:
  DRDIFF_MODEL           model of the commands that are given none [default: the bundled one]
  DRDIFF_MODELS          folder of models that have a name [default: ~/.local/share/drdiff/models]
  HF_HOME                cache of Hugging Face, whose models have names too
  DRDIFF_GENERATE__KEY   a setting of writing, such as DRDIFF_GENERATE__TOKENS=600; also TRAIN and SWEEP";

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("DRDIFF_COMMIT"), ")");

/// The commands as help lists them.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Write", &["generate", "chat", "batch"]),
    ("Measure", &["sweep", "eval", "bench"]),
    ("Train", &["data", "train", "config"]),
    (
        "Models and this machine",
        &["models", "inspect", "export", "doctor", "completions", "man"],
    ),
];

/// The program's command line, whose help lists the commands in groups.
pub(crate) fn command() -> clap::Command {
    let command = Cli::command();
    let mut groups = String::new();
    for (title, names) in GROUPS {
        groups += &format!("{title}:\n");
        for name in names {
            let about = command.find_subcommand(name).and_then(|found| found.get_about());
            let about = about.map(ToString::to_string).unwrap_or_default();
            groups += &format!("  {name:12} {about}\n");
        }
        groups += "\n";
    }
    command.help_template(format!(
        "{{about}}\n\n{{usage-heading}} {{usage}}\n\n{groups}Options:\n{{options}}{{after-help}}"
    ))
}

/// What was typed. Wrong usage and help end the program.
pub(crate) fn parse() -> Cli {
    let matches = command().get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Whole numbers from 1 on.
pub(crate) fn at_least_one() -> impl TypedValueParser<Value = usize> {
    RangedU64ValueParser::<usize>::new().range(1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_one_group() {
        let listed: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let times = listed.iter().filter(|listed| **listed == name).count();
            assert_eq!(times, 1, "{name}");
        }
        Cli::command().debug_assert();
    }
}
