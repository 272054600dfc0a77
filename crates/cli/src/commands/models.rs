//! `drdiff models`: the models that are here.

use anyhow::Result;
use clap::Args;
use drdiff::{Source, hub_folder, models, models_folder};

use crate::exit::{self, Exit};
use crate::output::Out;

const EXAMPLES: &str = "\
Examples:
  drdiff models
  drdiff models --json
";

/// Arguments of `drdiff models`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(crate) struct ModelsArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ModelsArgs) -> Result<Exit> {
    let (found, default) = (models(), Source::has_default());
    let mut out = Out::default();
    if args.json {
        let models: Vec<_> = found
            .iter()
            .map(|model| serde_json::json!({ "name": model.name, "path": model.path }))
            .collect();
        out.json(&serde_json::json!({ "default": default, "models": models }))?;
        return Ok(Exit::Done);
    }
    let width = found.iter().map(|model| model.name.chars().count()).max().unwrap_or(0);
    if default {
        out.text("The model of commands that name none is there; `drdiff inspect` tells what it is.\n")?;
    }
    for model in &found {
        out.text(&format!("{:width$}  {}\n", model.name, model.path.display()))?;
    }
    let folders = [models_folder(), hub_folder()];
    let folders: Vec<String> = folders
        .iter()
        .flatten()
        .map(|path| path.display().to_string())
        .collect();
    if found.is_empty() {
        out.text(&format!(
            "No model has a name. Names are looked for in {}.\n",
            folders.join(" and ")
        ))?;
    }
    Ok(Exit::Done)
}
