//! `drdiff completions`: the completion script of a shell.

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::args::Cli;
use crate::exit::Exit;
use crate::output::Out;

const EXAMPLES: &str = "\
Example:
  drdiff completions bash > ~/.local/share/bash-completion/completions/drdiff";

/// Arguments of `drdiff completions`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<Exit> {
    // Made in memory first: the generator panics when its reader goes away.
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "drdiff", &mut script);
    Out::default().text(&String::from_utf8(script)?)?;
    Ok(Exit::Done)
}
