//! `drdiff fit-grid`: the levels at which a model should be asked, found by measuring it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use drdiff_data::text_windows;
use drdiff_files::{Error, Output, begins_with, text};
use drdiff_kernels::{DeviceKind, device};
use drdiff_solver::{GridConfig, LearnedTime, PathMeasure, SamplerConfig, SolverConfig, Spacing, TimeGrid};
use drdiff_training::{MeasuredPath, measure_path};
use serde::{Deserialize, Serialize};

use crate::args::at_least_one;
use crate::exit::{Exit, usage};
use crate::model::{Source, files_of};
use crate::output::{Out, remark, tell};
use crate::{COMMIT, exit};

const EXAMPLES: &str = "\
Examples:
  drdiff fit-grid --text held-out.jsonl --steps 8 -o grid.json
  drdiff generate \"The old house\" --process gaussian --steps 8 --grid grid.json

Give the steps and the block size that texts will be written with. A grid of other steps is read between its points.
";

/// Points of the fine path for each step of the grid, and at least.
const FINE: usize = 4;
const LEAST: usize = 48;

/// Arguments of `drdiff fit-grid`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(crate) struct FitGridArgs {
    /// Text to measure on: .txt or .jsonl, as they are or packed (.gz, .zst)
    #[arg(long, value_name = "FILE", required = true)]
    text: Vec<PathBuf>,
    /// Model to measure [default: that of DRDIFF_MODEL, else the bundled one]
    #[arg(long, value_name = "FOLDER|FILE")]
    model: Option<PathBuf>,
    /// Network passes for each block, at least 2
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 8)]
    steps: usize,
    /// Tokens that become clear together
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 16)]
    block_size: usize,
    /// Solver whose errors count: ddim or dpmpp-2m
    #[arg(long, value_name = "SOLVER", default_value_t = SolverConfig::Dpmpp2m)]
    solver: SolverConfig,
    /// Windows of text at most, evenly spaced
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 4)]
    windows: usize,
    /// Tokens of a window
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 256)]
    window: usize,
    /// File for the grid
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Where to compute: cpu, cuda or cuda:N
    #[arg(long, value_parser = crate::device::parse, default_value = "cpu")]
    device: DeviceKind,
    /// No progress on stderr
    #[arg(short, long)]
    quiet: bool,
}

/// How the file of a grid begins.
const MARK: &[u8] = b"{\n  \"log_snr\": [";

/// A fitted grid on disk, with everything that explains it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GridFile {
    /// `ln s` at its points, ascending.
    pub(crate) log_snr: Vec<f64>,
    /// Network passes for each block.
    steps: usize,
    block_size: usize,
    solver: SolverConfig,
    model: String,
    model_hash: String,
    windows: usize,
    window: usize,
    commit: String,
    /// Root of the summed squares of local errors, by grid.
    errors: Vec<(String, f64)>,
    /// The schedule fitted to the model's loss, and the grid that is even in its time, if there is one.
    learned: Option<LearnedTime>,
}

impl GridFile {
    /// Reads a file that `drdiff fit-grid` wrote.
    ///
    /// # Errors
    /// If it is missing or no such file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = text::read(path).map_err(|error| {
            let Error::File { source, .. } = error else {
                return error.into();
            };
            let names = Spacing::ALL
                .iter()
                .map(|spacing| spacing.name())
                .collect::<Vec<_>>()
                .join(", ");
            usage(format!(
                "cannot read the grid {shown}: {source}; name a file of drdiff fit-grid, or one of {names}"
            ))
        })?;
        serde_json::from_str(&text)
            .map_err(|error| usage(format!("{shown} is no grid: {error}; make one with drdiff fit-grid")))
    }
}

pub(crate) fn run(args: &FitGridArgs) -> Result<Exit> {
    let updates = args.steps - 1;
    if updates == 0 {
        return Err(usage("a block of one step has no grid; give --steps of at least 2"));
    }
    if args.solver.is_stochastic() {
        return Err(usage(format!(
            "the error of {} is mostly its noise; fit a grid for ddim or dpmpp-2m",
            args.solver
        )));
    }
    let mut inputs = args.text.clone();
    inputs.extend(files_of(args.model.as_deref()));
    let out = Output::claim(&args.out, &inputs)?.over("grid of `drdiff fit-grid`", |old| begins_with(old, MARK))?;
    let source = Source::find(args.model.as_deref(), args.quiet)?;
    let (network, tokenizer) = source.load(&device(args.device)?)?;
    let windows = text_windows(&args.text, &tokenizer, args.window, args.windows)?;
    // The grids that are compared share their ends: all of them lead from the same noise to the same text.
    let named = |spacing| {
        let config = GridConfig {
            spacing,
            ..GridConfig::default()
        };
        TimeGrid::new(SamplerConfig::default().schedule, config)
    };
    let fine = named(Spacing::LogSnr)?.log_snrs((FINE * updates).max(LEAST));
    let sizes = (args.block_size, 1);
    let MeasuredPath { products, nats } = measure_path(&network, &windows, sizes, &fine, &mut |done| {
        if !args.quiet {
            tell(&format_args!("window {} of {}", done + 1, windows.len()));
        }
    })?;
    let learned = LearnedTime::fit(&fine, &nats, updates);
    let measure = PathMeasure::new(fine, products)?;
    let fitted = measure.fit(updates, args.solver)?;
    let mut errors = vec![("fitted".to_owned(), fitted.error)];
    for spacing in Spacing::ALL.iter().copied() {
        let points = measure.nearest(&named(spacing)?.log_snrs(updates));
        errors.push((spacing.name().to_owned(), measure.error_of(&points, args.solver)));
    }
    let learned = match learned {
        Ok(learned) => {
            let points = measure.nearest(&learned.log_snr);
            errors.push(("learned".to_owned(), measure.error_of(&points, args.solver)));
            Some(learned)
        }
        Err(error) => {
            remark(args.quiet, &format!("there is no learned time for this model: {error}"));
            None
        }
    };
    let mut table = format!("{:>10}  local error in {} steps of {}", "grid", args.steps, args.solver);
    for (name, error) in &errors {
        table += &format!("\n{name:>10}  {error:.4}");
    }
    let file = GridFile {
        log_snr: fitted.log_snr,
        steps: args.steps,
        block_size: args.block_size,
        solver: args.solver,
        model: source.path.display().to_string(),
        model_hash: source.hash(),
        windows: windows.len(),
        window: args.window,
        commit: COMMIT.to_owned(),
        errors,
        learned,
    };
    out.write(serde_json::to_string_pretty(&file)?.as_bytes())?;
    Out::default().text(&(table + "\n"))?;
    Ok(Exit::Done)
}
