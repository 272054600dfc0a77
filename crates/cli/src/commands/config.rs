//! `drdiff config show`: a configuration as it takes effect.

use std::fmt::Write;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use drdiff_configs::{Section, presets};
use drdiff_generation::settings::{Configured, page};
use drdiff_jobs::sweep::SweepConfig;
use drdiff_training::TrainConfig;

use crate::exit::{self, Exit};
use crate::output::Out;
use crate::settings::resolve;

const EXAMPLES: &str = "\
Examples:
  drdiff config show                                     the presets there are
  drdiff config show small --set steps=500 --origin
  drdiff config show mine.yaml --section generate
";

/// Arguments of `drdiff config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the reference of all settings of writing, in Markdown
    Settings,
    /// Print a configuration with all its values, or the presets there are
    Show(ShowArgs),
}

#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
struct ShowArgs {
    /// Preset or YAML file
    #[arg(value_name = "PRESET|FILE")]
    config: Option<String>,
    /// What the configuration is for [default: what there is a preset of that name for, else train]
    #[arg(long, value_enum)]
    section: Option<SectionName>,
    /// Change one setting, such as steps=500; may be given many times
    #[arg(long, value_name = "KEY=VALUE", requires = "config")]
    set: Vec<String>,
    /// Tell where each value came from
    #[arg(long, requires = "config")]
    origin: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SectionName {
    Generate,
    Train,
    Sweep,
}

pub(crate) fn run(args: ConfigArgs) -> Result<Exit> {
    let text = match args.command {
        ConfigCommand::Settings => page(),
        ConfigCommand::Show(args) => match &args.config {
            None => list(args.section)?,
            Some(name) => match args.section.unwrap_or_else(|| section_of(name)) {
                SectionName::Generate => shown::<Configured>(name, &args)?,
                SectionName::Train => shown::<TrainConfig>(name, &args)?,
                SectionName::Sweep => shown::<SweepConfig>(name, &args)?,
            },
        },
    };
    Out::default().text(&text)?;
    Ok(Exit::Done)
}

fn shown<T: Section>(name: &str, args: &ShowArgs) -> Result<String> {
    Ok(resolve::<T>(Some(name), &args.set)?.show(args.origin)?)
}

fn section_of(name: &str) -> SectionName {
    let holds = |section: &str| presets(section).any(|preset| preset.name == name);
    if holds(Configured::NAME) {
        SectionName::Generate
    } else if holds(SweepConfig::NAME) {
        SectionName::Sweep
    } else {
        SectionName::Train
    }
}

/// The presets and what their headers say.
fn list(section: Option<SectionName>) -> Result<String> {
    let sections = match section {
        None => &[Configured::NAME, TrainConfig::NAME, SweepConfig::NAME][..],
        Some(SectionName::Generate) => &[Configured::NAME],
        Some(SectionName::Sweep) => &[SweepConfig::NAME],
        Some(SectionName::Train) => &[TrainConfig::NAME],
    };
    let mut text = String::new();
    for preset in sections.iter().flat_map(|section| presets(section)) {
        writeln!(text, "{} (for {})", preset.name, preset.section)?;
        for line in preset.header() {
            writeln!(text, "{}", format_args!("    {line}").to_string().trim_end())?;
        }
    }
    Ok(text)
}
