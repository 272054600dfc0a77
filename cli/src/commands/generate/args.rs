//! What can be typed after `drdiff generate`. Defaults are those of the preset; here they are only shown.

use std::fmt::Display;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use drdiff_attention::PlanKind;
use drdiff_configs::Inputs;
use drdiff_generation::Settings;
use drdiff_kernels::DeviceKind;
use drdiff_solver::{CommitSchedule, Process};

use super::gaps::GAP;
use super::solver::SolverName;
use crate::attention::plans;
use crate::{device, exit};

const EXAMPLES: &str = "\
Examples:
  drdiff generate \"The old house\" --tokens 600 --seed 7
  drdiff generate -f opening.txt --steps 8 --block-size 32 > story.txt
  drdiff generate \"The old house\" --process gaussian --solver dpm++ --order 3
  drdiff generate --infill \"It was [[12]] when the door opened.\"
  drdiff generate \"The old house\" --json | jq .text

Ctrl-C ends after the current pass, keeps the text so far and exits with 75.
";

/// Arguments of `drdiff generate`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(crate) struct GenerateArgs {
    /// Text to go on from; "" writes without one, and without PROMPT it is read from stdin
    pub(super) prompt: Option<String>,
    /// Read the prompt from a file (- is stdin); a final line break is not part of it
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "prompt")]
    pub(super) file: Option<PathBuf>,
    #[arg(
        long,
        value_name = "FOLDER|FILE",
        help = "Model to write with [default: the bundled one]"
    )]
    pub(super) model: Option<PathBuf>,
    /// Where to compute: cpu, cuda or cuda:N
    #[arg(long, value_parser = device::parse, default_value = "cpu")]
    pub(super) device: DeviceKind,

    #[arg(long, value_name = "N", help = shown("Tokens to write at most", default().tokens))]
    #[arg(help_heading = "How to write")]
    pub(super) tokens: Option<usize>,
    #[arg(long, value_name = "N", help = shown("Network passes for each block", default().sampler.steps))]
    #[arg(help_heading = "How to write")]
    pub(super) steps: Option<usize>,
    #[arg(long, value_name = "N", help = shown("Tokens that become clear together", default().block_size))]
    #[arg(help_heading = "How to write")]
    pub(super) block_size: Option<usize>,
    #[arg(long, value_parser = processes(), help_heading = "How to write")]
    #[arg(help = shown("Path from noise to text", default().sampler.process))]
    pub(super) process: Option<Process>,
    #[arg(long, value_parser = SolverName::parser(), help_heading = "How to write")]
    #[arg(help = shown("Solver of the processes with soft levels", default().sampler.solver))]
    pub(super) solver: Option<SolverName>,
    /// Order of the solver, 1 to 3
    #[arg(long, value_name = "N", help_heading = "How to write")]
    pub(super) order: Option<usize>,
    #[arg(long, value_name = "SCHEDULE", help_heading = "How to write")]
    #[arg(help = shown(
        "Which tokens are decided first: random, confidence, margin, entropy, entropy-bound or entropy-bound:NATS",
        default().sampler.commit,
    ))]
    pub(super) commit: Option<CommitSchedule>,
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "How to write")]
    #[arg(help = shown("Below 1 bolder, above 1 wilder; 0 takes the likeliest token", default().sampler.sampling.temperature))]
    pub(super) temperature: Option<f64>,
    #[arg(long, value_name = "P", allow_negative_numbers = true, help_heading = "How to write")]
    #[arg(help = shown("Draw only from the likeliest tokens with this mass", default().sampler.sampling.top_p))]
    pub(super) top_p: Option<f64>,
    #[arg(long, help_heading = "How to write")]
    #[arg(help = shown("Equal seeds give equal texts", default().seed))]
    pub(super) seed: Option<u64>,
    /// Go on where the model would end the text
    #[arg(long, help_heading = "How to write")]
    pub(super) no_stop: bool,
    /// Show the network its last prediction in each pass
    #[arg(long, help_heading = "How to write")]
    pub(super) self_condition: bool,
    #[arg(long, value_name = "PLAN", value_parser = plans(), help_heading = "How to write")]
    #[arg(help = format!("Which text each token reads: {} [default: the model's own]", PlanKind::ALL.map(PlanKind::name).join(" or ")))]
    pub(super) attention: Option<PlanKind>,
    /// Preset or YAML file with settings; flags win over it
    #[arg(long, value_name = "PRESET|FILE", help_heading = "How to write")]
    pub(super) config: Option<String>,
    /// Change any setting, such as sampler.guidance.kappa=0.3; may be given many times
    #[arg(long, value_name = "KEY=VALUE", help_heading = "How to write")]
    pub(super) set: Vec<String>,
    #[arg(long, help_heading = "How to write", conflicts_with_all = ["tokens", "block_size", "no_stop", "no_echo"])]
    #[arg(help = format!("Fill the gaps of the prompt: [[8]] is one of 8 tokens, [[…]] or [[]] one of {GAP}"))]
    pub(super) infill: bool,

    /// Write the new text only, without the prompt
    #[arg(long, help_heading = "Output")]
    pub(super) no_echo: bool,
    /// Print one JSON object with text, ids, costs and settings instead of text
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    /// Write a JSON line for each network pass; the file appears when the text is done
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) trace: Option<PathBuf>,
    /// Show each block while it becomes clear; needs a terminal
    #[arg(long, help_heading = "Output", conflicts_with_all = ["json", "quiet"])]
    pub(super) watch: bool,
    /// No progress and no notes on stderr
    #[arg(short, long, help_heading = "Output")]
    pub(super) quiet: bool,
}

/// The settings without any flag, for the help text.
fn default() -> Settings {
    Inputs::default()
        .resolve()
        .map_or_else(|_| Settings::default(), |resolved| resolved.value)
}

fn shown(help: &str, default: impl Display) -> String {
    format!("{help} [default: {default}]")
}

fn processes() -> impl TypedValueParser<Value = Process> {
    PossibleValuesParser::new(Process::ALL.iter().map(|process| process.name())).try_map(|name| name.parse::<Process>())
}
