//! Provisional text of a block between two events: only what has changed is told, and nothing committed is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use drdiff_data::Tokenizer;
use serde_json::{Value, json};

use super::report::{event, rounded, step};
use crate::work::Passed;

/// Token, shown probability, and whether it is committed.
type Shown = (u32, f64, bool);

/// What a client was shown of a block, and what it is still to be shown.
#[derive(Default)]
pub(super) struct Merge {
    shown: BTreeMap<usize, Shown>,
    changed: BTreeMap<usize, Shown>,
    reabsorbed: BTreeSet<usize>,
    last: Option<Passed>,
    told: Option<Instant>,
}

impl Merge {
    /// Takes in what a pass did.
    pub(super) fn add(&mut self, passed: Passed) {
        for position in &passed.reabsorbed {
            self.changed.remove(position);
            self.shown.remove(position);
            self.reabsorbed.insert(*position);
        }
        for (position, token, p, committed) in &passed.set {
            let new = (*token, rounded(*p), *committed);
            match self.shown.get(position) {
                Some(old) if *old == new => drop(self.changed.remove(position)),
                _ => drop(self.changed.insert(*position, new)),
            }
        }
        self.last = Some(passed);
    }

    /// Whether something is to be told, and the last event is `interval` ago.
    pub(super) fn is_due(&self, interval: Duration) -> bool {
        self.last.is_some() && self.told.is_none_or(|told| told.elapsed() >= interval)
    }

    /// The event of all that has changed since the last one, if anything has happened; `steps` are those of a block.
    pub(super) fn take(&mut self, steps: usize, tokenizer: &Tokenizer) -> Option<Value> {
        let last = self.last.take()?;
        self.told = Some(Instant::now());
        let changed = std::mem::take(&mut self.changed);
        let text = |token: u32| String::from_utf8_lossy(tokenizer.bytes_of(token)).into_owned();
        let set = changed
            .iter()
            .map(|(position, (token, p, committed))| json!([position, token, text(*token), p, committed]));
        let mut fields = step(&last, steps);
        fields.insert("set".to_owned(), set.collect());
        fields.insert("reabsorbed".to_owned(), json!(std::mem::take(&mut self.reabsorbed)));
        self.shown.extend(changed);
        Some(event("step", fields))
    }

    /// The block is written, and another one begins.
    pub(super) fn turn(&mut self) {
        let told = self.told;
        *self = Self {
            told,
            ..Self::default()
        };
    }
}
