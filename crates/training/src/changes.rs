//! What of a run differs from what it was begun with, when it goes on.

use std::fmt;

use drdiff_data::Corpus;
use serde_json::{Map, Value};

use crate::{Error, Result, TrainConfig};

/// Key of the corpus beside the configuration in a checkpoint.
pub(crate) const CORPUS: &str = "corpus";

/// Cadence, rates and the number of steps: what a run that goes on may change without a word.
const FREE: [&str; 9] = [
    "steps",
    "log_every",
    "validate_every",
    "checkpoint_every",
    "optimizer.learning_rate",
    "optimizer.final_share",
    "optimizer.warmup",
    "optimizer.decay_share",
    "optimizer.muon.rate",
];

/// A setting that is another one than before, or the corpus if that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its key in the configuration, or `corpus`.
    pub key: String,
    /// Its value in the checkpoint, as JSON; for the corpus its hash.
    pub before: String,
    /// Its value now.
    pub now: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, before, now } = self;
        match key.as_str() {
            CORPUS => write!(
                f,
                "the run goes on with other text: the corpus had the hash {before} and has {now} now"
            ),
            _ => write!(
                f,
                "the run goes on with another `{key}`: it was {before} and is {now} now"
            ),
        }
    }
}

/// What a checkpoint says of the training: the configuration, and the corpus by its hash.
///
/// # Errors
/// If a number cannot be written as JSON.
pub(crate) fn record(config: &TrainConfig, corpus: &Corpus) -> Result<Value> {
    let mut record = serde_json::to_value(config).map_err(|e| Error::Config(e.to_string()))?;
    if let Some(map) = record.as_object_mut() {
        map.insert(CORPUS.to_owned(), corpus.hash().into());
    }
    Ok(record)
}

/// What differs between the record of a checkpoint and that of the run which goes on from it.
pub(crate) fn changes(before: &Value, now: &Value) -> Vec<Change> {
    // A setting that is younger than the checkpoint had its default in it; the corpus is no part of the configuration.
    let mut settings = before.clone();
    let corpus = settings.as_object_mut().and_then(|map| map.remove(CORPUS));
    let mut before = match serde_json::from_value::<TrainConfig>(settings.clone()) {
        Ok(config) => serde_json::to_value(config).unwrap_or(settings),
        Err(_) => settings,
    };
    if let (Some(map), Some(corpus)) = (before.as_object_mut(), corpus) {
        map.insert(CORPUS.to_owned(), corpus);
    }
    let mut found = Vec::new();
    if let (Value::Object(before), Value::Object(now)) = (&before, now) {
        compare("", before, now, &mut found);
    }
    found
}

/// Compares the keys that both sides have, in order.
fn compare(path: &str, before: &Map<String, Value>, now: &Map<String, Value>, found: &mut Vec<Change>) {
    for (key, before) in before {
        let Some(now) = now.get(key) else { continue };
        let key = match path {
            "" => key.clone(),
            path => format!("{path}.{key}"),
        };
        match (before, now) {
            // Maps with other keys, such as block sizes or another kind of something, are told whole.
            (Value::Object(before), Value::Object(now)) if before.keys().eq(now.keys()) => {
                compare(&key, before, now, found);
            }
            _ if before == now || FREE.contains(&key.as_str()) => {}
            _ => found.push(Change {
                key,
                before: shown(before),
                now: shown(now),
            }),
        }
    }
}

/// A value as people write it.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(change: impl FnOnce(&mut Value)) -> Value {
        let mut config = json!({
            "model": {"vocab": 12, "width": 16, "embed": 16, "layers": 1, "heads": 1, "kv_heads": 1, "head_dim": 16,
                      "hidden": 32, "context": 32},
            "steps": 4, "batch": 3, "block_sizes": {"8": 1.0},
        });
        change(&mut config);
        let config: TrainConfig = serde_json::from_value(config).unwrap();
        let mut record = serde_json::to_value(config).unwrap();
        record[CORPUS] = "aa".into();
        record
    }

    #[test]
    fn every_setting_but_cadence_rates_and_steps_is_told() {
        let before = record(|_| {});
        assert_eq!(changes(&before, &before), []);
        let free = record(|config| {
            config["steps"] = 9.into();
            config["checkpoint_every"] = 2.into();
            config["optimizer"] = json!({"learning_rate": 0.5, "warmup": 3});
        });
        assert_eq!(changes(&before, &free), []);
        let mut now = record(|config| {
            config["batch"] = 5.into();
            config["block_sizes"] = json!({"4": 2.0});
            config["optimizer"] = json!({"clip": 2.0, "learning_rate": 0.5});
        });
        now[CORPUS] = "bb".into();
        let mut told: Vec<String> = changes(&before, &now).iter().map(ToString::to_string).collect();
        told.sort();
        assert_eq!(
            told,
            [
                "the run goes on with another `batch`: it was 3 and is 5 now",
                "the run goes on with another `block_sizes`: it was {\"8\":1.0} and is {\"4\":2.0} now",
                "the run goes on with another `optimizer.clip`: it was 1.0 and is 2.0 now",
                "the run goes on with other text: the corpus had the hash aa and has bb now",
            ]
        );
    }

    #[test]
    fn what_is_younger_than_a_checkpoint_is_no_change() {
        let mut before = record(|_| {});
        let map = before.as_object_mut().unwrap();
        for key in ["accumulate", "sampling", CORPUS] {
            map.remove(key);
        }
        assert_eq!(changes(&before, &record(|_| {})), []);
        let now = record(|config| config["accumulate"] = 2.into());
        assert_eq!(changes(&before, &now)[0].key, "accumulate");
    }
}
