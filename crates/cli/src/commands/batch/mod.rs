//! `drdiff batch`: a file of requests, and what was made of it.

mod args;
mod folder;
mod job;
mod progress;

use anyhow::Result;

pub(crate) use args::BatchArgs;
use args::BatchCommand;

use crate::exit::Exit;

pub(crate) fn run(args: BatchArgs) -> Result<Exit> {
    match args.command {
        None => job::run(&args.job),
        Some(BatchCommand::Status(args)) => folder::status(&args),
        Some(BatchCommand::Merge(args)) => folder::merge(&args),
        Some(BatchCommand::Verify(args)) => folder::verify(&args),
    }
}
