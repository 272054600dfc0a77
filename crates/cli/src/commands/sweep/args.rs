//! What can be typed after `drdiff sweep`.

use std::path::PathBuf;

use clap::Args;
use drdiff_kernels::DeviceKind;

use crate::{device, exit};

const EXAMPLES: &str = "\
Examples:
  drdiff sweep quick -o report
  drdiff sweep frontier -o report
  drdiff sweep quick -o report --judge smollm2.gguf --reference stories.jsonl
  drdiff sweep mine.yaml -o report --set grid.steps=[4,8,16] --set texts=8
  drdiff sweep steps --dry-run

The folder gets report.html, results.csv, results.parquet and plots/. Ctrl-C (or SIGTERM) ends after the current pass and
exits with 75; the same command goes on. Texts are known by their settings, so a sweep may be changed and run again: what
is there is not written anew.
";

/// Arguments of `drdiff sweep`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(crate) struct SweepArgs {
    /// Preset (quick, frontier, ideas, steps, blocks or compute) or YAML file
    #[arg(value_name = "PRESET|FILE")]
    pub(super) config: String,
    /// Folder for texts, tables, plots and the report
    #[arg(short, long, value_name = "FOLDER", required_unless_present = "dry_run")]
    pub(super) out: Option<PathBuf>,
    /// Change one setting, such as settings.tokens=200; may be given many times
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// What scores the texts: a language model in GGUF or as a folder with safetensors, or a model of this program [default: the bundled
    /// model, token by token]
    #[arg(long, value_name = "FILE|FOLDER")]
    pub(super) judge: Option<PathBuf>,
    /// Human text to compare entropy with: .jsonl or .txt, as they are or packed (.gz, .zst)
    #[arg(long, value_name = "FILE")]
    pub(super) reference: Option<PathBuf>,
    /// Folder of all-MiniLM-L6-v2, for distances of cells with 20 texts or more to the reference
    #[arg(long, value_name = "FOLDER")]
    pub(super) features: Option<PathBuf>,
    /// Where to compute: cpu, cuda or cuda:N
    #[arg(long, value_parser = device::parse, default_value = "cpu")]
    pub(super) device: DeviceKind,
    /// List the cells and what they cost, and write nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// No progress on stderr
    #[arg(short, long)]
    pub(super) quiet: bool,
}
