//! `drdiff man`: manual pages, one for each command.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use clap_mangen::Man;
use drdiff_files::{make_folder, write};

use crate::args;
use crate::exit::Exit;

const EXAMPLES: &str = "\
Example:
  drdiff man ~/.local/share/man/man1";

/// Arguments of `drdiff man`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ManArgs {
    /// Folder for the pages
    folder: PathBuf,
}

pub(crate) fn run(args: &ManArgs) -> Result<Exit> {
    make_folder(&args.folder)?;
    let mut program = args::command();
    program.build();
    pages(&program, &args.folder)?;
    Ok(Exit::Done)
}

fn pages(command: &clap::Command, folder: &std::path::Path) -> Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    write(&folder.join(format!("{name}.1")), &page)?;
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        pages(below, folder)?;
    }
    Ok(())
}
