//! What can be typed after `drdiff generate`.

use std::path::PathBuf;

use clap::Args;
use drdiff_generation::GAP;
use drdiff_kernels::DeviceKind;

use crate::sampler::{SamplerArgs, beside_gaps};
use crate::{device, exit};

const EXAMPLES: &str = "\
Examples:
  drdiff generate \"The old house\" --tokens 600 --seed 7
  drdiff generate -f opening.txt --steps 8 --block-size 32 > story.txt
  drdiff generate \"The old house\" --process gaussian --solver dpm++ --order 3
  drdiff generate --infill \"It was [[12]] when the door opened.\"
  drdiff generate --model SmolLM2-135M-Instruct.Q4_1.gguf --chat \"Why is the sky blue?\"
  drdiff generate \"The old house\" --json | jq .text

Ctrl-C ends after the current pass, keeps the text so far and exits with 75.
";

/// Arguments of `drdiff generate`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(crate) struct GenerateArgs {
    /// Text to go on from; "" writes without one, and without PROMPT it is read from stdin
    pub(super) prompt: Option<String>,
    /// Read the prompt from a file (- is stdin), packed or not; a final line break is not part of it
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "prompt")]
    pub(super) file: Option<PathBuf>,
    #[arg(
        short,
        long,
        value_name = "FOLDER|FILE|NAME",
        help = "Model to write with, as `drdiff models` lists them [default: that of DRDIFF_MODEL, else the bundled one]"
    )]
    pub(super) model: Option<PathBuf>,
    /// Where to compute: cpu, cuda or cuda:N
    #[arg(long, value_parser = device::parse, default_value = "cpu", hide_short_help = true)]
    pub(super) device: DeviceKind,

    #[command(flatten)]
    pub(super) sampler: SamplerArgs,
    #[arg(long, help_heading = "How to write", conflicts_with_all = beside_gaps().chain(["no_echo"]))]
    #[arg(help = format!("Fill the gaps of the prompt: [[8]] is one of 8 tokens, [[…]] or [[]] one of {GAP}"))]
    pub(super) infill: bool,
    /// Read the prompt as a message and write the answer, as the model's chat template has it; for models that have one
    #[arg(long, help_heading = "How to write", conflicts_with = "infill")]
    pub(super) chat: bool,
    /// What the model is told before the conversation
    #[arg(
        long,
        value_name = "TEXT",
        help_heading = "How to write",
        requires = "chat",
        hide_short_help = true
    )]
    pub(super) system: Option<String>,

    /// Write the new text only, without the prompt
    #[arg(long, help_heading = "Output", hide_short_help = true)]
    pub(super) no_echo: bool,
    /// Print one JSON object with text, ids, costs and settings instead of text
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    /// Write a JSON line for each network pass; the file appears when the text is done
    #[arg(long, value_name = "FILE", help_heading = "Output", hide_short_help = true)]
    pub(super) trace: Option<PathBuf>,
    /// Draw where the routed experts ran, over positions and steps, into an SVG file and as a map on stderr
    #[arg(long, value_name = "FILE", help_heading = "Output", hide_short_help = true)]
    pub(super) explain: Option<PathBuf>,
    /// Show each block while it becomes clear; needs a terminal
    #[arg(long, help_heading = "Output", conflicts_with_all = ["json", "quiet"])]
    pub(super) watch: bool,
    /// No progress and no notes on stderr
    #[arg(short, long, help_heading = "Output")]
    pub(super) quiet: bool,
}
