//! `drdiff batch status`, `merge` and `verify`: what a folder holds.

use anyhow::Result;
use drdiff_jobs::batch::{self, Input, Manifest, Progress};
use serde_json::json;

use super::args::{MergeArgs, StatusArgs, VerifyArgs};
use crate::exit::Exit;
use crate::output::{Out, counted, grouped, tell};

pub(super) fn status(args: &StatusArgs) -> Result<Exit> {
    let (manifest, shards) = batch::status(&args.dir)?;
    if args.json {
        Out::default().json(&json!({ "manifest": manifest, "shards": shards }))?;
        return Ok(Exit::Done);
    }
    let mut text = format!("{:<8} {:<8} {:>10} {:>10}\n", "shard", "state", "texts", "errors");
    for shard in &shards {
        let state = match shard.progress {
            Progress::Waiting => "waiting",
            Progress::Running => "running",
            Progress::Stopped => "stopped",
            Progress::Done => "done",
        };
        text += &format!(
            "{:<8} {state:<8} {:>10} {:>10}\n",
            format!("{}/{}", shard.shard, manifest.shards),
            grouped(shard.records),
            grouped(shard.errors)
        );
    }
    if shards.len() > 1 {
        let sum = |count: fn(&batch::ShardStatus) -> u64| grouped(shards.iter().map(count).sum());
        let done = shards.iter().filter(|shard| shard.progress == Progress::Done).count();
        text += &format!(
            "{:<8} {:<8} {:>10} {:>10}\n",
            "all",
            format!("{done} done"),
            sum(|shard| shard.records),
            sum(|shard| shard.errors)
        );
    }
    Out::default().text(&text)?;
    Ok(Exit::Done)
}

pub(super) fn merge(args: &MergeArgs) -> Result<Exit> {
    let records = batch::merge(&args.dir, &args.out)?;
    tell(&format_args!(
        "{} holds {}",
        args.out.display(),
        counted(records, "text")
    ));
    Ok(Exit::Done)
}

pub(super) fn verify(args: &VerifyArgs) -> Result<Exit> {
    let mut input = match &args.input {
        Some(path) => Some(Input::open(path, Some(Manifest::read(&args.dir)?.input_format))?),
        None => None,
    };
    let found = batch::verify(&args.dir, input.as_mut())?;
    let mut out = Out::default();
    if args.json {
        out.json(&found)?;
    } else {
        let mut text: String = found.told.iter().map(|problem| format!("{problem}\n")).collect();
        let more = found.problems - found.told.len() as u64;
        if more > 0 {
            text += &format!("and {} more\n", grouped(more));
        }
        text += &format!(
            "{} of {} shards done, {}, {}, {}\n",
            found.shards_done,
            found.shards,
            counted(found.records, "text"),
            counted(found.failed, "failed request"),
            counted(found.problems, "problem")
        );
        out.text(&text)?;
    }
    Ok(if found.problems > 0 {
        Exit::SomeFailed
    } else {
        Exit::Done
    })
}
