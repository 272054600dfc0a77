//! What can be typed after `drdiff batch`.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use drdiff_jobs::batch::{InputFormat, OutputFormat, Shard};
use drdiff_kernels::DeviceKind;

use crate::args::at_least_one;
use crate::sampler::SamplerArgs;
use crate::{device, exit};

const EXAMPLES: &str = "\
Examples:
  drdiff batch prompts.txt -o out
  drdiff batch requests.jsonl -o out --tokens 200 --batch 16
  drdiff batch openai.jsonl -o out --format openai
  drdiff batch requests.jsonl -o out --shard 0/4
  drdiff batch status out
  drdiff batch merge out -o texts.jsonl
  drdiff batch verify out --input requests.jsonl

A job that was ended in any way goes on when the same command is given again.
";

/// Arguments of `drdiff batch`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(crate) struct BatchArgs {
    #[command(subcommand)]
    pub(super) command: Option<BatchCommand>,
    #[command(flatten)]
    pub(super) job: JobArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum BatchCommand {
    /// Tell how far the shards of a job are
    Status(StatusArgs),
    /// Put the texts of all shards into one file, in the order of their ids
    Merge(MergeArgs),
    /// Check that every request is there once and nothing is damaged
    Verify(VerifyArgs),
}

/// A job to run.
#[derive(Debug, Args)]
pub(super) struct JobArgs {
    /// Requests: JSON lines of DrDiff's form or of OpenAI's, or text with one prompt a line; - is stdin
    #[arg(value_name = "IN", required = true)]
    pub(super) input: Option<PathBuf>,
    /// Folder for the texts; a job in it goes on
    #[arg(short = 'o', long, value_name = "DIR", required = true)]
    pub(super) out: Option<PathBuf>,
    #[arg(
        long,
        value_name = "FOLDER|FILE",
        help = "Model to write with [default: that of DRDIFF_MODEL, else the bundled one]"
    )]
    pub(super) model: Option<PathBuf>,
    /// Where to compute: cpu, cuda or cuda:N
    #[arg(long, value_parser = device::parse, default_value = "cpu")]
    pub(super) device: DeviceKind,
    /// Form of the requests [default: told from the content]
    #[arg(long, value_parser = input_formats())]
    pub(super) input_format: Option<InputFormat>,
    /// Form of the texts
    #[arg(long, value_enum, default_value = "drdiff")]
    pub(super) format: FormatName,
    /// Requests that are computed together
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value = "8")]
    pub(super) batch: usize,
    /// Compute each request alone, so that reruns and shards give equal bits; slower
    #[arg(long, conflicts_with = "batch")]
    pub(super) fixed_batch: bool,
    /// Try requests again that failed in an earlier run
    #[arg(long)]
    pub(super) retry_failed: bool,
    /// Write only part I (from 0) of N [default: what Slurm, Kubernetes or AWS Batch says]
    #[arg(long, value_name = "I/N")]
    pub(super) shard: Option<Shard>,
    /// Number of parts, where the scheduler tells only which part this is
    #[arg(long, value_name = "N", value_parser = at_least_one(), env = "DRDIFF_SHARDS")]
    pub(super) shards: Option<usize>,
    /// No progress and no notes on stderr
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Progress as JSON lines on stderr
    #[arg(long, conflicts_with = "quiet")]
    pub(super) json_progress: bool,
    #[command(flatten)]
    pub(super) sampler: SamplerArgs,
}

#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(super) struct StatusArgs {
    /// Output folder of a job
    #[arg(value_name = "DIR")]
    pub(super) dir: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(super) struct MergeArgs {
    /// Output folder of a job
    #[arg(value_name = "DIR")]
    pub(super) dir: PathBuf,
    /// File to write; it must not exist
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(super) out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(super) struct VerifyArgs {
    /// Output folder of a job
    #[arg(value_name = "DIR")]
    pub(super) dir: PathBuf,
    /// The requests, each of which must have a text or a failure
    #[arg(long, value_name = "IN")]
    pub(super) input: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum FormatName {
    Drdiff,
    Openai,
}

impl From<FormatName> for OutputFormat {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Drdiff => Self::Drdiff,
            FormatName::Openai => Self::OpenAi,
        }
    }
}

fn input_formats() -> impl TypedValueParser<Value = InputFormat> {
    PossibleValuesParser::new(InputFormat::ALL.map(|format| PossibleValue::new(format.name()))).try_map(|name| {
        let format = InputFormat::ALL.into_iter().find(|format| format.name() == name);
        format.ok_or("no such format")
    })
}
