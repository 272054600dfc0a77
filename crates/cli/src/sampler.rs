//! The flags that say how text is written, shared by all commands that write. They are made of the table of settings.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use anyhow::Result;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use drdiff_generation::settings::{Configured, Flag, Kind, SETTINGS, Setting, default_of};
use drdiff_generation::{Choices, Compute, NetworkKind, Settings};
use drdiff_model::NetworkSpec;
use drdiff_solver::SolverName;
use serde_json::Value;

use crate::output::remark;
use crate::settings::resolve;

const HEADING: &str = "How to write";
/// The setting whose flag may be given many times.
const STOP: &str = "stop";

/// How text is written.
#[derive(Debug)]
pub(crate) struct SamplerArgs {
    flags: Choices,
    more: MoreArgs,
}

/// What is no setting of the table.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
struct MoreArgs {
    /// Preset or YAML file with settings; flags win over it
    #[arg(long, value_name = "PRESET|FILE", hide_short_help = true)]
    config: Option<String>,
    /// Change any setting, such as sampler.guidance.kappa=0.3; may be given many times
    #[arg(long, value_name = "KEY=VALUE", hide_short_help = true)]
    set: Vec<String>,
}

/// The settings that have a flag.
fn flags() -> impl Iterator<Item = (&'static Setting, Flag)> {
    SETTINGS.iter().filter_map(|setting| Some((setting, setting.flag?)))
}

/// The names of the flags that mean nothing beside gaps.
pub(crate) fn beside_gaps() -> impl Iterator<Item = &'static str> {
    flags()
        .filter(|(setting, _)| !setting.gaps)
        .map(|(setting, _)| setting.name)
}

impl Args for SamplerArgs {
    fn augment_args(command: Command) -> Command {
        MoreArgs::augment_args(command.args(flags().map(|(setting, flag)| arg(setting, flag))))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SamplerArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut typed = Choices::default();
        for (setting, flag) in flags() {
            let value = match flag.value {
                Some(_) if setting.name == STOP => {
                    let texts = matches.get_many::<Value>(setting.name);
                    texts.map(|texts| texts.filter_map(|text| text.get(0)).cloned().collect())
                }
                Some(_) => matches.get_one::<Value>(setting.name).cloned(),
                None => matches.get_flag(setting.name).then(|| turned(setting)),
            };
            if let Some(value) = value {
                typed
                    .choose(setting.name, value)
                    .map_err(|wrong| clap::Error::raw(clap::error::ErrorKind::InvalidValue, wrong))?;
            }
        }
        Ok(Self {
            flags: typed,
            more: MoreArgs::from_arg_matches(matches)?,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// A switch turned from its default.
fn turned(setting: &Setting) -> Value {
    Value::from(setting.value(&Settings::default()) != Value::Bool(true))
}

fn arg(setting: &'static Setting, flag: Flag) -> Arg {
    let mut arg = Arg::new(setting.name).long(flag.long).help_heading(HEADING);
    arg = arg.hide_short_help(!flag.common).visible_aliases(flag.aliases);
    if let Some(letter) = flag.letter {
        arg = arg.short(letter);
    }
    if setting.name == STOP {
        arg = arg.action(ArgAction::Append);
    }
    let help = flag.help.unwrap_or(setting.help);
    let Some(value) = flag.value else {
        return arg.action(ArgAction::SetTrue).help(help);
    };
    let values = match setting.kind {
        Kind::Other(values) if !values.contains("number") => format!(": {}", values.replace('`', "")),
        _ => String::new(),
    };
    let help = format!("{help}{values} [default: {}]", default_of(setting));
    arg.value_name(value)
        .value_parser(parser(setting))
        .allow_negative_numbers(true)
        .help(help)
}

fn parser(setting: &'static Setting) -> ValueParser {
    match setting.kind {
        Kind::Name(names) => {
            let families = SolverName::FAMILIES;
            let alias = |name: &str| {
                families
                    .iter()
                    .find(|[family, _]| *family == name)
                    .map(|[_, alias]| *alias)
            };
            let names = names()
                .into_iter()
                .map(|name| PossibleValue::new(name).aliases(alias(name)));
            PossibleValuesParser::new(names)
                .try_map(|name| setting.read(name.into()))
                .into()
        }
        _ => ValueParser::new(|text: &str| setting.parse(text)),
    }
}

impl SamplerArgs {
    /// The files that the settings may be read from.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.more.config.iter().map(Path::new)
    }

    /// What is chosen by files, variables and flags. Tells, unless `quiet`, of flags without an effect.
    pub(crate) fn choices(&self, quiet: bool) -> Result<Choices> {
        let configured = resolve::<Configured>(self.more.config.as_deref(), &self.more.set)?
            .value
            .0;
        let typed = &self.flags;
        let choices = typed.over(&configured);
        // Wrong settings are told before a prompt is typed or a model loaded.
        let settings = choices.resolve(NetworkKind::Masked)?;
        settings.sampler.validate()?;
        settings.compute.validate()?;
        for idle in typed.idle(choices.process()) {
            let flag = idle.flag.map_or("grid", |flag| flag.long);
            remark(
                quiet,
                &format!(
                    "--{flag} has no effect: {}; choose another --process for it",
                    idle.concerns.why
                ),
            );
        }
        Ok(choices)
    }
}

/// What is odd about a share of the compute for a model with routed experts, in words.
pub(crate) fn unusual(compute: Compute, model: &NetworkSpec) -> Option<String> {
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

/// The choices with a seed: where nobody chose one, another in every run, small enough to be typed again.
pub(crate) fn with_seed(choices: Choices) -> Choices {
    match choices.get("seed") {
        Some(_) => choices,
        None => choices.with("seed", RandomState::new().hash_one(std::process::id()) % 1_000_000),
    }
}
