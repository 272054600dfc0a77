//! The lines that gave no text, in a file of their own.

use std::collections::HashMap;
use std::path::PathBuf;

use drdiff_files::Output;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::folder::partial;
use super::id::{Fingerprint, Key};
use super::journal::json_line;
use super::ledger::{Fault, Ledger, State};
use super::manifest::OutputFormat;
use super::{BatchError, Journal};

/// A line that gave no text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct Failure {
    pub(super) line: u64,
    pub(super) id: Option<String>,
    pub(super) fault: Fault,
    pub(super) error: String,
    pub(super) fingerprint: Option<String>,
}

/// A line of the error file.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Record<'a> {
    Drdiff(&'a Failure),
    OpenAi(Value),
}

impl Failure {
    fn record(&self, format: OutputFormat) -> Record<'_> {
        match format {
            OutputFormat::Drdiff => Record::Drdiff(self),
            OutputFormat::OpenAi => Record::OpenAi(json!({
                "id": self.id.as_deref().map(|id| format!("batch_req_{:016x}", Key::of(id).noise)),
                "custom_id": self.id,
                "response": null,
                "error": { "code": self.fault, "message": self.error },
                "line": self.line,
                "fingerprint": self.fingerprint,
            })),
        }
    }

    /// What makes two failures the same one: the request, or for a line that is none all that is said of it.
    fn identity(&self) -> u128 {
        match (&self.id, self.fault) {
            (Some(id), Fault::Failed) => Key::of(id).identity,
            _ => Key::of(&format!("{:?} {} {:?} {}", self.fault, self.line, self.id, self.error)).identity,
        }
    }
}

impl TryFrom<Value> for Failure {
    type Error = serde_json::Error;

    fn try_from(mut record: Value) -> Result<Self, Self::Error> {
        #[derive(Deserialize)]
        struct Ours {
            line: u64,
            id: Option<String>,
            fault: Fault,
            error: String,
            fingerprint: Option<String>,
        }
        if let Some(id) = record.get("custom_id").cloned() {
            let error = record["error"].take();
            record["id"] = id;
            record["fault"] = error["code"].clone();
            record["error"] = error["message"].clone();
        }
        let Ours {
            line,
            id,
            fault,
            error,
            fingerprint,
        } = serde_json::from_value(record)?;
        Ok(Self {
            line,
            id,
            fault,
            error,
            fingerprint,
        })
    }
}

/// Where a failure stands in the file, and whether it still holds.
#[derive(Debug, Clone, Copy)]
struct Mark {
    place: u64,
    current: bool,
}

/// The error file of a shard. It is made when there is something to write.
#[derive(Debug)]
pub(super) struct Failures {
    path: PathBuf,
    format: OutputFormat,
    journal: Option<Journal>,
    marks: HashMap<u128, Mark>,
    lines: u64,
}

/// How many failures of which kind a finished shard has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FailureCounts {
    pub(super) failed: u64,
    pub(super) refused: u64,
}

impl Failures {
    /// Opens the error file whose final name is `path`, and tells `ledger` which requests failed earlier.
    pub(super) fn open(path: PathBuf, format: OutputFormat, ledger: &mut Ledger) -> Result<Self, BatchError> {
        let mut failures = Self {
            path,
            format,
            journal: None,
            marks: HashMap::new(),
            lines: 0,
        };
        let growing = partial(&failures.path);
        if growing.exists() {
            failures.journal = Some(Journal::open(&growing, |failure: Failure| {
                if let (Fault::Failed, Some(id)) = (failure.fault, &failure.id) {
                    let print = failure.fingerprint.as_deref().and_then(Fingerprint::parse);
                    ledger.note(Key::of(id), print.unwrap_or(Fingerprint(0)), State::Failed);
                }
                // Bad lines are met again when the input is read again, unless somebody has mended them.
                failures.mark(&failure, false);
            })?);
        }
        Ok(failures)
    }

    fn mark(&mut self, failure: &Failure, current: bool) {
        let place = self.lines;
        self.lines += 1;
        self.marks.insert(failure.identity(), Mark { place, current });
    }

    /// Writes a failure, unless exactly this one is there already.
    pub(super) fn add(&mut self, failure: &Failure) -> Result<(), BatchError> {
        if failure.fault != Fault::Failed
            && let Some(mark) = self.marks.get_mut(&failure.identity())
        {
            mark.current = true;
            return Ok(());
        }
        let journal = match &mut self.journal {
            Some(journal) => journal,
            None => self
                .journal
                .insert(Journal::open(&partial(&self.path), |_: Failure| ())?),
        };
        journal.append(&failure.record(self.format))?;
        self.mark(failure, true);
        Ok(())
    }

    /// Bytes of a torn last line that were taken away.
    pub(super) fn dropped(&self) -> u64 {
        self.journal.as_ref().map_or(0, Journal::dropped)
    }

    /// Takes out what holds no longer, gives the file its name and counts what is left.
    pub(super) fn finish(self, ledger: &Ledger) -> Result<FailureCounts, BatchError> {
        let growing = partial(&self.path);
        if self.journal.is_none() {
            return Ok(FailureCounts::default());
        }
        drop(self.journal);
        let mut file = Output::claim::<PathBuf>(&growing, &[])?.create()?;
        let (mut counts, mut place, mut written) = (FailureCounts::default(), 0, Ok(()));
        Journal::read(&growing, |failure: Failure| {
            let last = self.marks.get(&failure.identity()).filter(|mark| mark.place == place);
            place += 1;
            let Some(mark) = last else { return };
            match (failure.fault, &failure.id) {
                (Fault::Failed, Some(id)) if ledger.state(Key::of(id)) == Some(State::Failed) => counts.failed += 1,
                (Fault::Malformed | Fault::Duplicate | Fault::Changed, _) if mark.current => counts.refused += 1,
                _ => return,
            }
            if written.is_ok() {
                written = json_line(&growing, &failure.record(self.format)).and_then(|line| Ok(file.put(&line)?));
            }
        })?;
        written?;
        if counts == FailureCounts::default() {
            drdiff_files::remove(&growing)?;
        } else {
            // The growing file is replaced first, so that at any time there is one that holds all.
            file.finish()?;
            drdiff_files::rename(&growing, &self.path)?;
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::form::Form;
    use super::super::shard::Shard;
    use super::*;

    fn failure(line: u64, id: Option<&str>, fault: Fault) -> Failure {
        Failure {
            line,
            id: id.map(str::to_owned),
            fault,
            error: format!("{fault:?} it is"),
            fingerprint: id.map(|id| Form::prompt(id.to_owned()).fingerprint().to_string()),
        }
    }

    fn note(ledger: &mut Ledger, id: &str, state: State) {
        ledger.note(Key::of(id), Form::prompt(id.to_owned()).fingerprint(), state);
    }

    #[test]
    fn only_what_still_holds_is_left() {
        for format in [OutputFormat::Drdiff, OutputFormat::OpenAi] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("errors.jsonl");
            let mut ledger = Ledger::new(Shard::WHOLE, true);
            let mut failures = Failures::open(path.clone(), format, &mut ledger).unwrap();
            let (bad, mended) = (failure(3, None, Fault::Malformed), failure(4, None, Fault::Malformed));
            for failure in [
                &bad,
                &mended,
                &failure(1, Some("a"), Fault::Failed),
                &failure(2, Some("b"), Fault::Failed),
            ] {
                failures.add(failure).unwrap();
            }
            drop(failures);

            let mut failures = Failures::open(path.clone(), format, &mut ledger).unwrap();
            assert_eq!(ledger.count(State::Failed), 2);
            failures.add(&bad).unwrap();
            failures.add(&failure(1, Some("a"), Fault::Failed)).unwrap();
            note(&mut ledger, "b", State::Done);
            let counts = failures.finish(&ledger).unwrap();
            assert_eq!(counts, FailureCounts { failed: 1, refused: 1 });
            let mut left = Vec::new();
            Journal::read(&path, |failure: Failure| left.push(failure)).unwrap();
            assert_eq!(left, [bad, failure(1, Some("a"), Fault::Failed)]);
            assert!(!partial(&path).exists());
        }
    }

    #[test]
    fn without_failures_there_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("errors.jsonl");
        let mut ledger = Ledger::new(Shard::WHOLE, true);
        let mut failures = Failures::open(path.clone(), OutputFormat::Drdiff, &mut ledger).unwrap();
        failures.add(&failure(1, Some("a"), Fault::Failed)).unwrap();
        note(&mut ledger, "a", State::Done);
        assert_eq!(failures.finish(&ledger).unwrap(), FailureCounts::default());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
