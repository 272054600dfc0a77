//! What has become of each request, in a few bytes a request.

use std::collections::HashMap;

use super::form::{Form, Unusable};
use super::id::{Fingerprint, Key};
use super::input::Item;
use super::shard::Shard;

/// What is known of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing but that its line was read.
    Met,
    Failed,
    Done,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    fingerprint: Fingerprint,
    state: State,
    /// The last reading of the input that met it.
    reading: u8,
}

/// Why a line is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fault {
    /// It is no request.
    Malformed,
    /// Its id was used by an earlier line.
    Duplicate,
    /// Its id is that of a finished request which asked for something else.
    Changed,
    /// It is a request, and could not be fulfilled.
    Failed,
}

/// A request that is this shard's.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) id: String,
    pub(super) key: Key,
    pub(super) fingerprint: Fingerprint,
    pub(super) line: u64,
    pub(super) form: Form,
}

/// What is to be done with a line.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It belongs to another shard.
    Foreign,
    /// It is to be written.
    Due(Box<Due>),
    /// Its text is there.
    Done,
    /// It failed before and is not to be tried again.
    FailedBefore,
    /// It cannot be served.
    Refused {
        line: u64,
        id: Option<String>,
        fault: Fault,
        reason: String,
    },
}

/// The requests of one shard: some 40 bytes for each, twice that while the table grows, whatever their prompts are.
#[derive(Debug)]
pub(super) struct Ledger {
    shard: Shard,
    retry: bool,
    entries: HashMap<u128, Entry>,
    /// How often each content without an id was met in this reading.
    copies: HashMap<Fingerprint, u32>,
    reading: u8,
}

impl Ledger {
    /// An empty ledger; with `retry`, failed requests are due again.
    pub(super) fn new(shard: Shard, retry: bool) -> Self {
        Self {
            shard,
            retry,
            entries: HashMap::new(),
            copies: HashMap::new(),
            reading: 0,
        }
    }

    /// Notes what became of a request.
    pub(super) fn note(&mut self, key: Key, fingerprint: Fingerprint, state: State) {
        let reading = self.entries.get(&key.identity).map_or(0, |entry| entry.reading);
        let entry = Entry {
            fingerprint,
            state,
            reading,
        };
        self.entries.insert(key.identity, entry);
    }

    /// What is known of a request.
    pub(super) fn state(&self, key: Key) -> Option<State> {
        self.entries.get(&key.identity).map(|entry| entry.state)
    }

    /// Requests in the given state.
    pub(super) fn count(&self, state: State) -> u64 {
        self.entries.values().filter(|entry| entry.state == state).count() as u64
    }

    /// Begins to read the input from its start.
    pub(super) fn begin(&mut self) {
        self.copies.clear();
        self.reading += 1;
    }

    /// Takes in that the line of a request is not usable now: what became of it as another line is no longer so, unless that is a
    /// text, and further lines of its id are copies.
    fn met_unusable(&mut self, key: Key) {
        let reading = self.reading;
        let entry = self.entries.entry(key.identity).or_insert(Entry {
            fingerprint: Fingerprint(0),
            state: State::Met,
            reading,
        });
        // A line before this one may be the request that failed.
        if entry.state == State::Failed && entry.reading != reading {
            entry.state = State::Met;
        }
        entry.reading = reading;
    }

    /// Judges the next line of the input.
    pub(super) fn judge(&mut self, item: Item) -> Verdict {
        let Item { line, text, form } = item;
        let form = match form {
            Ok(form) => form,
            Err(Unusable { id, reason }) => {
                let key = Key::of(id.as_ref().unwrap_or(if text.is_empty() { &reason } else { &text }));
                if !self.shard.owns(key) {
                    return Verdict::Foreign;
                }
                if id.is_some() {
                    self.met_unusable(key);
                }
                return Verdict::Refused {
                    line,
                    id,
                    fault: Fault::Malformed,
                    reason,
                };
            }
        };
        let fingerprint = form.fingerprint();
        let id = match &form.id {
            Some(id) => id.clone(),
            // Equal lines get a number, and since they are equal it does not matter which gets which.
            None => match *self.copies.entry(fingerprint).and_modify(|n| *n += 1).or_insert(1) {
                1 => fingerprint.to_string(),
                n => format!("{fingerprint}-{n}"),
            },
        };
        let key = Key::of(&id);
        if !self.shard.owns(key) {
            return Verdict::Foreign;
        }
        let entry = self.entries.entry(key.identity).or_insert(Entry {
            fingerprint,
            state: State::Met,
            reading: 0,
        });
        let refused = |id: String, fault, reason: &str| Verdict::Refused {
            line,
            id: Some(id),
            fault,
            reason: reason.to_owned(),
        };
        if entry.reading == self.reading {
            return refused(
                id,
                Fault::Duplicate,
                "an earlier line has the same id; give each request its own",
            );
        }
        entry.reading = self.reading;
        match entry.state {
            State::Done if entry.fingerprint != fingerprint => refused(
                id,
                Fault::Changed,
                "this id is done with another prompt or other settings; give the request a new id, or choose another folder",
            ),
            State::Done => Verdict::Done,
            // Who has corrected a request wants it tried.
            State::Failed if !self.retry && entry.fingerprint == fingerprint => Verdict::FailedBefore,
            State::Failed | State::Met => Verdict::Due(Box::new(Due {
                id,
                key,
                fingerprint,
                line,
                form,
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(line: u64, id: Option<&str>, text: &str) -> Item {
        let mut form = Form::prompt(text.to_owned());
        form.id = id.map(str::to_owned);
        Item {
            line,
            text: text.to_owned(),
            form: Ok(form),
        }
    }

    fn due(verdict: Verdict) -> Due {
        match verdict {
            Verdict::Due(due) => *due,
            other => panic!("{other:?}"),
        }
    }

    fn fault(verdict: Verdict) -> Fault {
        match verdict {
            Verdict::Refused { fault, .. } => fault,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn equal_lines_without_ids_are_different_requests() {
        let mut ledger = Ledger::new(Shard::WHOLE, false);
        for _ in 0..2 {
            ledger.begin();
            let ids: Vec<String> = ["a", "b", "a"]
                .map(|text| due(ledger.judge(item(1, None, text))).id)
                .into();
            assert_eq!(ids[2], format!("{}-2", ids[0]));
            assert_ne!(ids[0], ids[1]);
        }
    }

    #[test]
    fn what_is_done_is_not_due() {
        let mut ledger = Ledger::new(Shard::WHOLE, false);
        ledger.begin();
        let first = due(ledger.judge(item(1, Some("x"), "a")));
        assert_eq!(fault(ledger.judge(item(2, Some("x"), "a"))), Fault::Duplicate);
        ledger.note(first.key, first.fingerprint, State::Done);
        ledger.begin();
        assert!(matches!(ledger.judge(item(1, Some("x"), "a")), Verdict::Done));
        ledger.begin();
        assert_eq!(fault(ledger.judge(item(1, Some("x"), "other"))), Fault::Changed);
    }

    #[test]
    fn failures_are_tried_again_when_asked_or_corrected() {
        for retry in [false, true] {
            let mut ledger = Ledger::new(Shard::WHOLE, retry);
            let form = Form::prompt("a".to_owned());
            ledger.note(Key::of("x"), form.fingerprint(), State::Failed);
            ledger.begin();
            assert_eq!(matches!(ledger.judge(item(1, Some("x"), "a")), Verdict::Due(_)), retry);
            ledger.begin();
            due(ledger.judge(item(1, Some("x"), "corrected")));
        }
    }
}
