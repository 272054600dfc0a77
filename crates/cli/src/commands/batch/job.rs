//! One shard of a job, from the command line to the marker.

use std::env;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use drdiff::kind_of;
use drdiff_generation::Engine;
use drdiff_jobs::batch::{Done, Input, Job, Manifest, Shard, Store, Survey, belongs_to_job};
use drdiff_kernels::device;

use super::args::JobArgs;
use super::progress::{End, View};
use crate::exit::{Exit, usage};
use crate::model::find;
use crate::output::{counted, grouped, remark};
use crate::{COMMIT, interrupt};

pub(super) fn run(args: &JobArgs) -> Result<Exit> {
    let (Some(input), Some(out)) = (&args.input, &args.out) else {
        return Err(usage(
            "there is nothing to do; name a file of requests and, with -o, a folder",
        ));
    };
    let chosen = args.sampler.choices(args.quiet)?;
    let settings = chosen.resolve(kind_of(args.model.as_deref()))?;
    settings.check_steps()?;
    let shard = shard(args)?;
    let stop = interrupt::flag();
    if belongs_to_job(out, input) {
        return Err(drdiff_files::Error::Input { path: input.clone() }.into());
    }
    let requests = Input::open(input, args.input_format)?;
    let source = find(args.model.as_deref(), args.quiet)?;
    let manifest = Manifest {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: COMMIT.to_owned(),
        model: source.path.display().to_string(),
        model_hash: source.hash(),
        device: crate::device::name(args.device),
        input_format: requests.format(),
        format: args.format.into(),
        shards: shard.count(),
        fixed_batch: args.fixed_batch,
        settings,
        chosen: Some(chosen),
    };
    let mut store = Store::open(out, manifest, shard, args.retry_failed)?;
    tell_of(&store, args.quiet);

    let survey = survey(&mut store, input, &requests, &stop, args.quiet)?;
    if stop.load(Ordering::Relaxed) {
        return Ok(Exit::Interrupted);
    }
    let window = if args.fixed_batch { 1 } else { args.batch };
    let (engine, template) = match survey {
        Some(Survey { due: 0, .. }) => (None, None),
        _ => {
            let (network, tokenizer) = source.load(&device(args.device)?)?;
            // Lines without messages can be served all the same.
            let template = source.words().map(|words| words.template).unwrap_or_else(|error| {
                remark(args.quiet, &format!("messages cannot be answered: {error:#}"));
                None
            });
            (Some(Engine::new(network, tokenizer, window)?), template)
        }
    };
    let view = View::new(args.quiet, args.json_progress, survey.map(|survey| survey.due));
    let job = Job::new(store, requests, engine, window).with_template(template);
    drive(job, view, &stop, out)
}

/// Which part of the job this is.
fn shard(args: &JobArgs) -> Result<Shard> {
    if let Some(shard) = args.shard {
        if args.shards.is_some_and(|shards| shards != shard.count()) {
            return Err(usage(format!(
                "--shard {shard} and the number of shards {} contradict each other; leave --shards and DRDIFF_SHARDS out",
                args.shards.unwrap_or_default()
            )));
        }
        return Ok(shard);
    }
    match (
        Shard::from_environment(|name| env::var(name).ok(), args.shards)?,
        args.shards,
    ) {
        (Some((shard, variable)), _) => {
            remark(args.quiet, &format!("this is shard {shard}, says {variable}"));
            Ok(shard)
        }
        (None, None | Some(1)) => Ok(Shard::WHOLE),
        (None, Some(shards)) => Err(usage(format!(
            "nothing says which of {shards} shards this is; give --shard I/{shards}, or start it as an array of tasks"
        ))),
    }
}

fn tell_of(store: &Store, quiet: bool) {
    if let Some(older) = store.older_program() {
        remark(
            quiet,
            &format!("the folder was begun by another build of this program, {older}; texts may differ in rounding"),
        );
    }
    if store.dropped() > 0 {
        remark(
            quiet,
            "the last record was torn when the job ended; its text is written again",
        );
    }
}

/// Reads all requests of a file once, so that progress knows how many there are. A pipe can be read only once.
fn survey(store: &mut Store, path: &Path, requests: &Input, stop: &AtomicBool, quiet: bool) -> Result<Option<Survey>> {
    if path == Path::new("-") || !path.is_file() {
        return Ok(None);
    }
    let mut input = Input::open(path, Some(requests.format()))?;
    let survey = store.survey(&mut input, || !stop.load(Ordering::Relaxed))?;
    tell_ignored(&input, quiet);
    let Survey {
        due,
        done,
        failed_before,
        refused,
    } = survey;
    if done > 0 {
        let (there, rest) = (counted(done, "text"), grouped(due));
        remark(quiet, &format!("already there: {there}, to be written: {rest}"));
    }
    if failed_before > 0 {
        let failed = counted(failed_before, "request");
        remark(
            quiet,
            &format!("failed in an earlier run and left so: {failed}; try them again with --retry-failed"),
        );
    }
    if refused > 0 {
        let lines = counted(refused, "line");
        remark(quiet, &format!("no usable requests: {lines}; the errors file says why"));
    }
    Ok(Some(survey))
}

fn tell_ignored(input: &Input, quiet: bool) {
    let names: Vec<&str> = input.ignored().collect();
    if !names.is_empty() {
        remark(
            quiet,
            &format!(
                "these fields of the requests have no meaning here: {}",
                names.join(", ")
            ),
        );
    }
}

fn drive(mut job: Job, mut view: View, stop: &AtomicBool, out: &Path) -> Result<Exit> {
    loop {
        let more = job.step()?;
        view.show(&job.tally());
        if !more {
            break;
        }
        if stop.load(Ordering::Relaxed) {
            view.end(&job.tally(), &End::Interrupted);
            return Ok(Exit::Interrupted);
        }
    }
    if !view.knows_total() {
        tell_ignored(job.input(), view.is_quiet());
    }
    let tally = job.tally();
    let done = job.finish()?;
    view.end(&tally, &End::Finished { done: &done, out });
    let Done { failed, refused, .. } = done;
    Ok(if failed + refused > 0 {
        Exit::SomeFailed
    } else {
        Exit::Done
    })
}
