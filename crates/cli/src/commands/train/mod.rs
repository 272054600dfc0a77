//! `drdiff train`: a run that can stop and go on at any step.

mod args;
mod log;
mod start;
mod tiers;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use anyhow::{Context, Result, anyhow};
use drdiff_data::Corpus;
use drdiff_kernels::device;
use drdiff_model::Pretrained;
use drdiff_training::{Outcome, Run, RunFolder, TrainConfig, Trainer};

pub(crate) use args::TrainArgs;

use drdiff::{TRAINING_STACK, put_words};

use crate::exit::{Exit, usage};
use crate::output::remark;
use crate::{COMMIT, interrupt, settings, threads};

pub(crate) fn run(args: TrainArgs) -> Result<Exit> {
    let resolved = settings::resolve::<TrainConfig>(Some(&args.config), &args.set)?;
    let fits_shares = tiers::shares_are_ours(&resolved);
    let (mut config, model) = start::fit_shape(&args, resolved)?;
    config.distill = args.distill.then(|| config.distill.unwrap_or_default());
    let stop = interrupt::flag();
    thread::scope(|scope| {
        let trainer = thread::Builder::new()
            .name("train".to_owned())
            .stack_size(TRAINING_STACK);
        let trainer = trainer
            .spawn_scoped(scope, || train(&args, (config, model), fits_shares, &stop))
            .context("cannot start a thread")?;
        // Its panic, if any, is already on stderr.
        trainer
            .join()
            .unwrap_or_else(|_| Err(anyhow!("training ended with a fault of the program")))
    })
}

fn train(
    args: &TrainArgs,
    (mut config, model): (TrainConfig, Option<Pretrained>),
    fits_shares: bool,
    stop: &Arc<AtomicBool>,
) -> Result<Exit> {
    threads::join_pool();
    let device = device(args.device)?;
    let corpus = Corpus::open(&args.data)?;
    if fits_shares {
        tiers::fit_shares(&mut config, &corpus, args.quiet);
    }
    let taken = || {
        usage(format!(
            "{} already holds a run; go on with --resume, or choose another folder",
            args.out.display()
        ))
    };
    let begun = RunFolder::look(&args.out)?;
    if begun && !args.resume {
        return Err(taken());
    }
    // What is wrong with a new run is told before it has a folder.
    let teacher = start::teacher(args, &config, corpus.tokenizer())?;
    let begin = || -> Result<Trainer<'_>> {
        let weights = start::weights(args, model, corpus.tokenizer(), &device)?;
        Ok(Trainer::new(config.clone(), &corpus, weights, &device)?)
    };
    let new = (!begun).then(begin).transpose()?;
    let folder = RunFolder::take(&args.out)?;
    let mut trainer = match new {
        Some(_) if folder.is_begun() => return Err(taken()),
        Some(trainer) => trainer,
        None => Trainer::resume(config.clone(), &corpus, &args.out, &device)?,
    };
    for change in trainer.changes() {
        remark(args.quiet, &change.to_string());
    }
    if let Some(teacher) = teacher {
        trainer = trainer.taught_by(teacher)?;
    }
    put_words(&corpus, &args.out)?;
    tiers::remarks(&trainer, &corpus, &config, args.quiet)?;
    let run = Run {
        dir: &args.out,
        commit: COMMIT,
        stop,
        limit: args.stop_after,
    };
    let outcome = drdiff_training::run(&mut trainer, &run, &mut |event| {
        if !args.quiet {
            log::show(event);
        }
    })?;
    Ok(match outcome {
        Outcome::Finished => Exit::Done,
        Outcome::Stopped => Exit::Interrupted,
    })
}
