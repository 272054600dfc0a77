//! `drdiff inspect`: what a model or a prepared corpus holds.

mod corpus;
mod weights;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::exit::{self, Exit};
use crate::output::Out;

const EXAMPLES: &str = "\
Examples:
  drdiff inspect                 the bundled model
  drdiff inspect run --json
  drdiff inspect shards
";

/// Arguments of `drdiff inspect`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(crate) struct InspectArgs {
    /// Model folder, weights file or corpus folder [default: the model of DRDIFF_MODEL, else the bundled one]
    path: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &InspectArgs) -> Result<Exit> {
    let mut out = Out::default();
    match args.path.as_deref() {
        Some(dir) if corpus::is_corpus(dir) => {
            let manifest = corpus::read(dir)?;
            if args.json {
                out.json(&manifest)?
            } else {
                out.text(&corpus::describe(&manifest))?
            }
        }
        path => {
            let summary = weights::read(path)?;
            if args.json {
                out.json(&summary)?
            } else {
                out.text(&weights::describe(&summary))?
            }
        }
    }
    Ok(Exit::Done)
}
