//! The `drdiff` program: what was typed becomes calls of the libraries, and what they answer becomes text, progress
//! and an exit code. Nothing else in the workspace prints.

mod args;
mod attention;
mod commands;
mod device;
mod exit;
mod interrupt;
mod judge;
mod lengths;
mod memory;
mod model;
mod output;
mod sampler;
mod settings;
mod threads;

use std::process::ExitCode;

use crate::args::{Cli, Command};
use crate::exit::Exit;

// glibc gives every large tensor back to the kernel, and the page faults then cost several times the arithmetic. What
// makes jemalloc keep them (`dirty_decay_ms:-1`) is set where it is built, in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Revision that this program was built from.
const COMMIT: &str = env!("DRDIFF_COMMIT");

fn main() -> ExitCode {
    let result = run(args::parse());
    // From here on nobody ends the program from outside; if that has begun, it waits here.
    let _whole = drdiff_files::whole();
    let exit = result.unwrap_or_else(|error| {
        let exit = exit::of(&error);
        if exit != Exit::Done {
            output::complain(&exit::sentence(&error));
        }
        exit
    });
    exit.into()
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    interrupt::listen()?;
    // Training has a thread of its own.
    if !matches!(cli.command, Command::Train(_)) {
        threads::join_pool();
    }
    match cli.command {
        Command::Generate(args) => commands::generate::run(args),
        Command::Chat(args) => commands::chat::run(&args),
        Command::Batch(args) => commands::batch::run(*args),
        Command::Data(args) => commands::data::run(args),
        Command::Train(args) => commands::train::run(args),
        Command::Eval(args) => commands::eval::run(&args),
        Command::Export(args) => commands::export::run(&args),
        Command::Models(args) => commands::models::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Config(args) => commands::config::run(args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Sweep(args) => commands::sweep::run(&args),
        Command::Doctor(args) => commands::doctor::run(&args),
        Command::Man(args) => commands::man::run(&args),
        Command::Completions(args) => commands::completions::run(&args),
    }
}
