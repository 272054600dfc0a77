//! A shard's place in the output folder, from the lock to the marker.

use std::path::Path;

use drdiff_files::FolderLock;

use super::Result;
use super::failures::{Failure, Failures};
use super::folder::{Done, Paths, hash, partial};
use super::id::Key;
use super::input::Input;
use super::ledger::{Due, Fault, Ledger, State, Verdict};
use super::manifest::Manifest;
use super::record::{Kept, Record};
use super::shard::Shard;
use super::{BatchError, Journal};

/// What an input holds for a shard, before any of it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Survey {
    /// Requests to be written.
    pub due: u64,
    /// Requests whose text is there.
    pub done: u64,
    /// Requests that failed earlier and are not tried again.
    pub failed_before: u64,
    /// Lines that are no usable requests.
    pub refused: u64,
}

/// An open shard of a job. Dropped at any moment, it leaves everything that was finished.
#[derive(Debug)]
pub struct Store {
    paths: Paths,
    shard: Shard,
    manifest: Manifest,
    part: Journal,
    failures: Failures,
    pub(super) ledger: Ledger,
    older: Option<String>,
    _lock: FolderLock,
}

impl Store {
    /// Opens or begins `shard` of the job in `folder`. With `retry`, requests that failed are due again.
    ///
    /// # Errors
    /// If another process works on the shard, if the folder was begun with something else than `manifest`, if its finished part
    /// was changed, or if its files cannot be read or written.
    pub fn open(folder: &Path, manifest: Manifest, shard: Shard, retry: bool) -> Result<Self> {
        drdiff_files::make_folder(folder).map_err(BatchError::from)?;
        let paths = Paths::new(folder, shard);
        let lock = FolderLock::take(folder, &paths.lock()).map_err(BatchError::from)?;
        let older = manifest.agree(folder)?;
        paths.reopen()?;
        let mut ledger = Ledger::new(shard, retry);
        let failures = Failures::open(paths.errors(), manifest.format, &mut ledger)?;
        // A text counts more than the failure of an earlier try.
        let part = Journal::open(&partial(&paths.part()), |kept: Kept| {
            ledger.note(Key::of(&kept.id), kept.fingerprint, State::Done);
        })?;
        Ok(Self {
            paths,
            shard,
            manifest,
            part,
            failures,
            ledger,
            older,
            _lock: lock,
        })
    }

    /// Texts that are there.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.ledger.count(State::Done)
    }

    /// Bytes of records that were torn by the end of an earlier run.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.part.dropped() + self.failures.dropped()
    }

    /// The program that began the folder, if it is not this one.
    #[must_use]
    pub fn older_program(&self) -> Option<&str> {
        self.older.as_deref()
    }

    /// What the folder was begun with.
    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads an input to its end without writing anything. Every `line` may end it early by answering `false`.
    ///
    /// # Errors
    /// If the input cannot be read.
    pub fn survey(&mut self, input: &mut Input, mut line: impl FnMut() -> bool) -> Result<Survey> {
        let mut survey = Survey::default();
        self.ledger.begin();
        while line()
            && let Some(item) = input.next()?
        {
            input.note_unused(&item, &self.manifest.choices());
            match self.ledger.judge(item) {
                Verdict::Foreign => {}
                Verdict::Due(_) => survey.due += 1,
                Verdict::Done => survey.done += 1,
                Verdict::FailedBefore => survey.failed_before += 1,
                Verdict::Refused { .. } => survey.refused += 1,
            }
        }
        Ok(survey)
    }

    /// Keeps a finished text.
    pub(super) fn keep(&mut self, due: &Due, record: &Record<'_>) -> Result<()> {
        self.part.append(record)?;
        self.ledger.note(due.key, due.fingerprint, State::Done);
        Ok(())
    }

    /// Keeps the failure of a request.
    pub(super) fn fail(&mut self, due: &Due, error: String) -> Result<()> {
        self.failures.add(&Failure {
            line: due.line,
            id: Some(due.id.clone()),
            fault: Fault::Failed,
            error,
            fingerprint: Some(due.fingerprint.to_string()),
        })?;
        self.ledger.note(due.key, due.fingerprint, State::Failed);
        Ok(())
    }

    /// Keeps the reason why a line is no usable request.
    pub(super) fn refuse(&mut self, line: u64, id: Option<String>, fault: Fault, error: String) -> Result<()> {
        self.failures.add(&Failure {
            line,
            id,
            fault,
            error,
            fingerprint: None,
        })?;
        Ok(())
    }

    /// Ends the shard: its files get their names, and the marker is written.
    pub(super) fn finish(self) -> Result<Done> {
        let Self {
            paths,
            shard,
            manifest,
            part,
            failures,
            ledger,
            ..
        } = self;
        let counts = failures.finish(&ledger)?;
        drop(part);
        let path = paths.part();
        drdiff_files::rename(&partial(&path), &path).map_err(BatchError::from)?;
        let (bytes, blake3) = hash(&path)?;
        let done = Done {
            shard: shard.index(),
            shards: shard.count(),
            records: ledger.count(State::Done),
            failed: counts.failed,
            refused: counts.refused,
            bytes,
            blake3,
            version: manifest.version,
            commit: manifest.commit,
            device: manifest.device,
        };
        paths.write_done(&done)?;
        paths.forget_reopened()?;
        Ok(done)
    }
}
