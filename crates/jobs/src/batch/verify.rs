//! Whether a folder holds what it should: every request once, and nothing damaged.

use std::collections::HashSet;
use std::path::Path;

use serde::Serialize;

use super::Result;
use super::failures::Failure;
use super::folder::{Paths, partial};
use super::id::{Fingerprint, Key};
use super::input::Input;
use super::ledger::{Fault, Ledger, State, Verdict};
use super::manifest::Manifest;
use super::record::Kept;
use super::shard::Shard;
use super::{BatchError, Journal};

/// Problems that are told one by one; more are only counted.
const TOLD: usize = 20;

/// What was found in a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Shards that are done.
    pub shards_done: usize,
    /// All shards.
    pub shards: usize,
    /// Texts.
    pub records: u64,
    /// Requests that failed, which is no damage.
    pub failed: u64,
    /// How many things are wrong.
    pub problems: u64,
    /// The first of them, a sentence each.
    pub told: Vec<String>,
}

impl Verified {
    fn problem(&mut self, sentence: String) {
        self.problems += 1;
        if self.told.len() < TOLD {
            self.told.push(sentence);
        }
    }
}

/// What the files of a job say of its requests.
struct Requests {
    ledger: Ledger,
    /// Ids of lines that were no usable requests.
    refused: HashSet<u128>,
}

/// Checks the job in `folder`: markers against counts and hashes, every record readable, in the right shard and there
/// once; and where an `input` is given, that each of its requests has a text or a failure.
///
/// # Errors
/// If the folder holds no job or a file cannot be read. What is wrong within the files is not an error but a problem.
pub fn verify(folder: &Path, input: Option<&mut Input>) -> Result<Verified> {
    let manifest = Manifest::read(folder)?;
    let mut found = Verified {
        shards: manifest.shards,
        ..Verified::default()
    };
    let mut requests = Requests {
        // Without shards of its own, so that it holds all requests.
        ledger: Ledger::new(Shard::WHOLE, false),
        refused: HashSet::new(),
    };
    for index in 0..manifest.shards {
        let shard = Shard::new(index, manifest.shards)?;
        one(&Paths::new(folder, shard), shard, &mut requests, &mut found)?;
    }
    if let Some(input) = input {
        requests.ledger.begin();
        while let Some(item) = input.next()? {
            let line = item.line;
            match requests.ledger.judge(item) {
                Verdict::Due(due) => found.problem(format!("the request `{}` (line {line}) has no record", due.id)),
                Verdict::Refused {
                    id: Some(id),
                    fault: Fault::Changed,
                    ..
                } => found.problem(format!(
                    "the request `{id}` (line {line}) is not what its record was made for"
                )),
                Verdict::Refused {
                    id: Some(id),
                    fault: Fault::Malformed,
                    ..
                } if !requests.refused.contains(&Key::of(&id).identity) => {
                    found.problem(format!("the request `{id}` (line {line}) has no record"));
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

fn one(paths: &Paths, shard: Shard, requests: &mut Requests, found: &mut Verified) -> Result<(), BatchError> {
    let whole = paths.check();
    report(whole, found)?;
    let done = paths.read_done().ok().flatten();
    let (part, errors) = match &done {
        Some(_) => (paths.part(), paths.errors()),
        None => (partial(&paths.part()), partial(&paths.errors())),
    };
    match &done {
        Some(_) => found.shards_done += 1,
        None => found.problem(format!("the shard {shard} is not done; run it to its end")),
    }
    let (mut failed, mut refused) = (0, 0);
    let read = Journal::read(&errors, |failure: Failure| match (failure.fault, &failure.id) {
        (Fault::Failed, Some(id)) => {
            let print = failure.fingerprint.as_deref().and_then(Fingerprint::parse);
            requests
                .ledger
                .note(Key::of(id), print.unwrap_or(Fingerprint(0)), State::Failed);
            failed += 1;
        }
        (_, id) => {
            requests.refused.extend(id.as_deref().map(|id| Key::of(id).identity));
            refused += 1;
        }
    });
    report(read, found)?;
    let mut records = 0;
    let mut wrong = Vec::new();
    let read = Journal::read(&part, |kept: Kept| {
        records += 1;
        let key = Key::of(&kept.id);
        if !shard.owns(key) {
            wrong.push(format!("the record `{}` does not belong to the shard {shard}", kept.id));
        }
        if requests.ledger.state(key) == Some(State::Done) {
            wrong.push(format!("the request `{}` has two records", kept.id));
        }
        requests.ledger.note(key, kept.fingerprint, State::Done);
    });
    wrong.into_iter().for_each(|sentence| found.problem(sentence));
    report(read, found)?;
    if let Some(done) = done {
        if done.records != records {
            found.problem(format!(
                "the shard {shard} has {records} records, and its marker says {}",
                done.records
            ));
        }
        if done.failed != failed {
            found.problem(format!(
                "the shard {shard} has {failed} failures, and its marker says {}",
                done.failed
            ));
        }
        if done.refused != refused {
            found.problem(format!(
                "the shard {shard} has {refused} lines that are no requests, and its marker says {}",
                done.refused
            ));
        }
    }
    found.records += records;
    found.failed += failed;
    Ok(())
}

/// A damaged file is a problem, one that cannot be read is an error.
fn report<T>(read: Result<T, BatchError>, found: &mut Verified) -> Result<(), BatchError> {
    match read {
        Ok(_) => Ok(()),
        Err(
            error @ (BatchError::Broken { .. }
            | BatchError::NotWhole { .. }
            | BatchError::Missing { .. }
            | BatchError::Marker { .. }),
        ) => {
            found.problem(error.to_string());
            Ok(())
        }
        Err(error) => Err(error),
    }
}
