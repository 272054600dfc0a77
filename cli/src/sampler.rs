//! The flags that say how text is written, shared by all commands that write. Defaults are those of the preset; here
//! they are only shown.

use std::fmt::Display;
use std::path::Path;

use anyhow::Result;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use drdiff_attention::PlanKind;
use drdiff_configs::Inputs;
use drdiff_generation::{Compute, Overrides, Settings, Suited};
use drdiff_model::ModelConfig;
use drdiff_solver::{CommitSchedule, Process, SolverConfig, SolverName};

use crate::attention::plans;
use crate::commands::fit_grid::GridFile;
use crate::output::remark;
use crate::settings::resolve;

/// How text is written.
#[derive(Debug, Args)]
#[command(next_help_heading = "How to write")]
pub(crate) struct SamplerArgs {
    #[arg(long, value_name = "N", help = shown("Tokens to write at most", default().tokens))]
    tokens: Option<usize>,
    #[arg(long, value_name = "N")]
    #[arg(help = format!("Network passes for each block [default: {}, or 16 for blocks of more than 128 tokens]", default().sampler.steps))]
    steps: Option<usize>,
    #[arg(long, value_name = "N", help = shown("Tokens that become clear together", default().block_size))]
    block_size: Option<usize>,
    #[arg(long, value_parser = processes())]
    #[arg(help = shown("Path from noise to text", default().sampler.process))]
    process: Option<Process>,
    #[arg(long, value_parser = solvers())]
    #[arg(help = shown("Solver of the processes with soft levels", default().sampler.solver))]
    solver: Option<SolverName>,
    /// Levels that soft positions pass: time, log-snr, quadratic, or a file of drdiff fit-grid
    #[arg(long, value_name = "NAME|FILE")]
    grid: Option<String>,
    /// Order of the solver, 1 to 3
    #[arg(long, value_name = "N")]
    order: Option<usize>,
    #[arg(long, value_name = "SCHEDULE")]
    #[arg(help = format!(
        "Which tokens are decided first: random, spread, left-to-right, confidence, margin, entropy, entropy-bound[:NATS] or threshold[:PROBABILITY] [default: {}, or {} for soft processes]",
        default().sampler.commit,
        suited(default().block_size, Process::Hybrid).commit,
    ))]
    commit: Option<CommitSchedule>,
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    #[arg(help = temperature_help())]
    temperature: Option<f64>,
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    #[arg(help = shown("Draw only from the likeliest tokens with this mass", default().sampler.sampling.top_p))]
    top_p: Option<f64>,
    #[arg(long, value_name = "NATS", allow_negative_numbers = true)]
    #[arg(help = drawn("Hold words back by the logarithm of how often the text has them; 0 does not", default().sampler.frequency.penalty, suited(1, Process::Absorbing).frequency_penalty))]
    frequency_penalty: Option<f64>,
    #[arg(long)]
    #[arg(help = shown("Equal seeds give equal texts", default().seed))]
    seed: Option<u64>,
    /// Go on where the model would end the text
    #[arg(long)]
    no_stop: bool,
    /// Show the network its last prediction in each pass
    #[arg(long)]
    self_condition: bool,
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    #[arg(help = shown("How closely the prompt is followed; above 1 closer, at the price of a second network call", default().style_guidance))]
    style_guidance: Option<f64>,
    #[arg(long, value_name = "PLAN", value_parser = plans())]
    #[arg(help = format!("Which text each token reads: {} [default: the model's own]", PlanKind::ALL.map(PlanKind::name).join(" or ")))]
    attention: Option<PlanKind>,
    #[arg(long, value_name = "SHARE|auto", allow_negative_numbers = true)]
    #[arg(help = shown("Share of the routed experts that runs, or auto: what each step needs", default().compute))]
    compute: Option<Compute>,
    /// Preset or YAML file with settings; flags win over it
    #[arg(long, value_name = "PRESET|FILE")]
    config: Option<String>,
    /// Change any setting, such as sampler.guidance.kappa=0.3; may be given many times
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl SamplerArgs {
    /// The files that the settings may be read from.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.config.iter().chain(&self.grid).map(Path::new)
    }

    /// The configured settings, changed where a flag was typed. A model may ask for blocks of its own size (`block_size`), which
    /// hold where nobody chose another. Tells, unless `quiet`, of flags without an effect.
    pub(crate) fn settings(&self, block_size: Option<usize>, quiet: bool) -> Result<Settings> {
        let configured = resolve::<Settings>(self.config.as_deref(), &self.set)?;
        let ours = |key| configured.origin(key).is_ours();
        let typed = Overrides {
            tokens: self.tokens,
            steps: self.steps,
            block_size: self.block_size.or(block_size.filter(|_| ours("block_size"))),
            process: self.process,
            solver: self.solver,
            order: self.order,
            commit: self.commit,
            temperature: self.temperature,
            top_p: self.top_p,
            frequency_penalty: self.frequency_penalty,
            seed: self.seed,
            stop_at_end: self.no_stop.then_some(false),
            self_condition: self.self_condition.then_some(true),
            style_guidance: self.style_guidance,
            attention: self.attention,
            compute: self.compute,
            stop: None,
        };
        let mut settings = typed.apply(&configured.value)?;
        // What nobody chose follows what somebody did.
        if self.steps.is_none() {
            settings.sampler.steps = match ours("sampler.steps") {
                true => Settings::enough_steps(settings.block_size),
                // What a file or `--set` says is refused where a block cannot use it, and not changed.
                false => configured.value.sampler.steps,
            };
        }
        let suited = settings.suited();
        if self.commit.is_none() && ours("sampler.commit.type") {
            settings.sampler.commit = suited.commit;
        }
        if self.temperature.is_none() && ours("sampler.sampling.temperature") {
            settings.sampler.sampling.temperature = suited.temperature;
        }
        if self.frequency_penalty.is_none() && ours("sampler.frequency.penalty") {
            settings.sampler.frequency.penalty = suited.frequency_penalty;
        }
        if ours("sampler.score_temperature") {
            settings.sampler.score_temperature = suited.score_temperature;
        }
        if let Some(grid) = &self.grid {
            let config = &mut settings.sampler.grid;
            match grid.parse() {
                Ok(spacing) => (config.spacing, config.table) = (spacing, Vec::new()),
                Err(_) => config.table = GridFile::read(Path::new(grid))?.log_snr,
            }
        }
        // Wrong settings are told before a prompt is typed or a model loaded.
        settings.sampler.validate()?;
        settings.compute.validate()?;
        let unused = match settings.sampler.process {
            Process::Absorbing if self.solver.is_some() || self.order.is_some() || self.grid.is_some() => Some(
                "the absorbing process uses no solver and no grid; choose --process gaussian, soft-absorbing or hybrid for one",
            ),
            Process::Gaussian if self.commit.is_some() => {
                Some("the gaussian process decides all tokens of a block at its end; --commit has no effect")
            }
            _ => None,
        };
        if let Some(sentence) = unused {
            remark(quiet, sentence);
        }
        Ok(settings)
    }
}

/// What is odd about a share of the compute for a model with routed experts, in words.
pub(crate) fn unusual(compute: Compute, model: &ModelConfig) -> Option<String> {
    let (min, max) = (model.routing.budget.min, model.routing.budget.max);
    match compute {
        Compute::Auto if min == max => Some(format!(
            "this model was trained with a budget of {max} alone, so --compute auto always chooses it; give a share instead"
        )),
        Compute::Share(share) if share < min => Some(format!(
            "this model was trained with budgets from {min} up; with --compute {share} it may write worse"
        )),
        _ => None,
    }
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

/// Help for what depends on whether tokens share a step.
fn drawn(help: &str, together: impl Display, alone: impl Display) -> String {
    format!("{help} [default: {together}, or {alone} where each token has a step of its own]")
}

/// What the temperature does, which depends on the process, and where its default comes from.
fn temperature_help() -> String {
    drawn(
        "Divides the logits that tokens are drawn by, in every process: of each token when it is committed, in the gaussian process at a block's end. \
         Any number from 0 up: below 1 bolder, above 1 wilder, 0 takes the likeliest token. How soft positions move is up to sampler.score_temperature",
        default().sampler.sampling.temperature,
        suited(1, Process::Absorbing).temperature,
    )
}

/// What suits such blocks in the steps of the default.
fn suited(block_size: usize, process: Process) -> Suited {
    let mut settings = Settings {
        block_size,
        ..default()
    };
    settings.sampler.process = process;
    settings.suited()
}

fn processes() -> impl TypedValueParser<Value = Process> {
    PossibleValuesParser::new(Process::ALL.iter().map(|process| process.name())).try_map(|name| name.parse::<Process>())
}

fn solvers() -> impl TypedValueParser<Value = SolverName> {
    let families = SolverName::FAMILIES.map(|[name, alias]| PossibleValue::new(name).alias(alias));
    let exact = SolverConfig::ALL.iter().map(|solver| PossibleValue::new(solver.name()));
    PossibleValuesParser::new(families.into_iter().chain(exact)).try_map(|name| name.parse::<SolverName>())
}
