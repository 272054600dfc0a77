//! Settings that one request changes.

use drdiff_attention::PlanKind;
use drdiff_solver::{CommitSchedule, Process, SolverName, choose_solver};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::values::{tidy, words};
use crate::{Compute, Result, Settings};

/// The settings that flags and requests may name; `None` leaves one as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overrides {
    /// Tokens to write at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
    /// Network passes for each block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Positions that are denoised together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_size: Option<usize>,
    /// The path of the levels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// Solver of soft positions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub solver: Option<SolverName>,
    /// Order of the solver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<usize>,
    /// Which positions are committed first.
    #[serde(skip_serializing_if = "Option::is_none", with = "schedule")]
    pub commit: Option<CommitSchedule>,
    /// Logits are divided by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Mass of the tokens that take part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Nats that a token loses for each e-fold of how often the text holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// Seed of all noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Ends the text where the model ends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_at_end: Option<bool>,
    /// Feeds each step the prediction of the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_condition: Option<bool>,
    /// How closely the prompt is followed; 1 is plainly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub style_guidance: Option<f64>,
    /// Which committed text each token reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention: Option<PlanKind>,
    /// Share of the routed experts that runs: a number, or `auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute: Option<Compute>,
    /// Strings before which the text ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<Vec<String>>,
}

impl Overrides {
    /// The keys, in the order in which they are listed to users.
    pub const KEYS: [&'static str; 17] = [
        "tokens",
        "steps",
        "block_size",
        "process",
        "solver",
        "order",
        "commit",
        "temperature",
        "top_p",
        "frequency_penalty",
        "seed",
        "stop_at_end",
        "self_condition",
        "style_guidance",
        "attention",
        "compute",
        "stop",
    ];

    /// Reads settings from JSON: a null is as good as absent, `8.0` is 8, and one string stands for a list of one.
    ///
    /// # Errors
    /// In words, which key is unknown (and what it may stand for) or holds a value of the wrong kind.
    pub fn from_json(map: Map<String, Value>) -> std::result::Result<Self, String> {
        let mut map = tidy(map);
        if let Some(stop) = map.get_mut("stop").filter(|stop| stop.is_string()) {
            *stop = Value::Array(vec![stop.take()]);
        }
        // Key by key, since an error of serde does not tell which one it was.
        for (key, value) in &map {
            if !Self::KEYS.contains(&key.as_str()) {
                return Err(unknown_key(key, &Self::KEYS));
            }
            let one = Map::from_iter([(key.clone(), value.clone())]);
            serde_json::from_value::<Self>(Value::Object(one)).map_err(|e| format!("`{key}`: {}", words(&e)))?;
        }
        serde_json::from_value(Value::Object(map)).map_err(|e| words(&e))
    }

    /// Settings named here that a text with gaps does not read.
    pub(crate) fn beside_gaps(&self) -> Vec<&'static str> {
        let named = [
            ("tokens", self.tokens.is_some()),
            ("block_size", self.block_size.is_some()),
            ("stop", self.stop.is_some()),
            ("stop_at_end", self.stop_at_end.is_some()),
            ("style_guidance", self.style_guidance.is_some()),
        ];
        named
            .into_iter()
            .filter_map(|(key, named)| named.then_some(key))
            .collect()
    }

    /// Settings named here that the process of `settings` does not read, with that process.
    pub(crate) fn beside_process(&self, settings: &Settings) -> impl Iterator<Item = String> + use<> {
        let process = self.process.unwrap_or(settings.sampler.process);
        let named = match process {
            Process::Absorbing => vec![("solver", self.solver.is_some()), ("order", self.order.is_some())],
            Process::Gaussian => vec![("commit", self.commit.is_some())],
            Process::SoftAbsorbing | Process::Hybrid => Vec::new(),
        };
        let named = named.into_iter().filter(|(_, named)| *named);
        named.map(move |(key, _)| format!("{key} (of the process {process})"))
    }

    /// `base` with these settings changed. The numbers are checked when a request is submitted.
    ///
    /// # Errors
    /// If there is no solver of the name and order.
    pub fn apply(&self, base: &Settings) -> Result<Settings> {
        fn set<T: Copy>(slot: &mut T, new: Option<T>) {
            *slot = new.unwrap_or(*slot);
        }
        let mut settings = base.clone();
        set(&mut settings.tokens, self.tokens);
        set(&mut settings.block_size, self.block_size);
        set(&mut settings.seed, self.seed);
        set(&mut settings.stop_at_end, self.stop_at_end);
        set(&mut settings.self_condition, self.self_condition);
        set(&mut settings.style_guidance, self.style_guidance);
        set(&mut settings.compute, self.compute);
        settings.attention = self.attention.or(settings.attention);
        if let Some(stop) = &self.stop {
            settings.stop.clone_from(stop);
        }
        let sampler = &mut settings.sampler;
        set(&mut sampler.steps, self.steps);
        set(&mut sampler.process, self.process);
        set(&mut sampler.commit, self.commit);
        set(&mut sampler.sampling.temperature, self.temperature);
        set(&mut sampler.sampling.top_p, self.top_p);
        set(&mut sampler.frequency.penalty, self.frequency_penalty);
        sampler.solver = choose_solver(self.solver, self.order, sampler.solver)?;
        if self.block_size.is_some() && self.steps.is_none() && settings.check_steps().is_err() {
            // Steps that nobody chose for this block are as many as it can use.
            settings.sampler.steps = settings.block_size + settings.sampler.correction_steps();
        }
        Ok(settings)
    }
}

/// Commit schedules by the names that the command line takes, such as `entropy-bound:0.2`, or as configuration.
mod schedule {
    use std::fmt;

    use drdiff_solver::CommitSchedule;
    use serde::de::value::MapAccessDeserializer;
    use serde::de::{Error, MapAccess, Visitor};
    use serde::{Deserialize, Deserializer, Serializer};

    struct Written;

    impl<'de> Visitor<'de> for Written {
        type Value = CommitSchedule;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the name of a schedule, or an object with its `type`,")
        }

        fn visit_str<E: Error>(self, name: &str) -> Result<CommitSchedule, E> {
            name.parse().map_err(E::custom)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CommitSchedule, A::Error> {
            CommitSchedule::deserialize(MapAccessDeserializer::new(map))
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<CommitSchedule>, D::Error> {
        from.deserialize_any(Written).map(Some)
    }

    pub(super) fn serialize<S: Serializer>(schedule: &Option<CommitSchedule>, to: S) -> Result<S::Ok, S::Error> {
        match schedule {
            Some(schedule) => to.serialize_str(&schedule.to_string()),
            None => to.serialize_none(),
        }
    }
}

/// What to say about a key that is not among the known ones.
pub(crate) fn unknown_key(key: &str, known: &[&str]) -> String {
    // Nobody mistypes a word of so many letters, and to compare them takes memory for each pair.
    let likely = (key.len() < 100).then(|| drdiff_solver::nearest(key, known.iter().copied()));
    match likely.flatten() {
        Some(nearest) => format!("unknown field `{key}`; did you mean `{nearest}`?"),
        None => format!("unknown field `{key}`; known here: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> std::result::Result<Overrides, String> {
        match value {
            Value::Object(map) => Overrides::from_json(map),
            _ => unreachable!("the tests give objects"),
        }
    }

    #[test]
    fn every_key_is_listed_and_taken() {
        let all = json!({
            "tokens": 1, "steps": 2, "block_size": 3, "process": "gaussian", "solver": "sde", "order": 3,
            "commit": "margin", "temperature": 0.5, "top_p": 0.25, "frequency_penalty": 0.75, "seed": 4, "stop_at_end": false,
            "self_condition": true, "style_guidance": 2.0, "attention": "length_adaptive", "compute": 0.5, "stop": ["x"],
        });
        for commit in [json!("entropy-bound:0.2"), json!({ "type": "margin" })] {
            let map = Map::from_iter([("commit".to_owned(), commit)]);
            let once = Overrides::from_json(map).unwrap();
            let again = serde_json::to_value(&once).unwrap();
            assert_eq!(read(again), Ok(once));
        }
        let overrides = read(all.clone()).unwrap();
        let keys: Vec<String> = all.as_object().unwrap().keys().cloned().collect();
        let mut known = Overrides::KEYS.to_vec();
        known.sort_unstable();
        assert_eq!(keys, known);
        assert_eq!(serde_json::to_value(&overrides).unwrap(), all);
        let settings = overrides.apply(&Settings::default()).unwrap();
        assert_eq!((settings.tokens, settings.block_size, settings.seed), (1, 3, 4));
        assert_eq!(settings.sampler.solver.name(), "sde-3m");
        assert_eq!((settings.sampler.steps, settings.sampler.sampling.top_p), (2, 0.25));
        assert_eq!(settings.sampler.frequency.penalty, 0.75);
        assert_eq!(Overrides::default().apply(&settings).unwrap(), settings);
        let small = Overrides {
            block_size: Some(1),
            process: Some(Process::Absorbing),
            ..Overrides::default()
        };
        assert_eq!(
            small.apply(&settings).unwrap().sampler.steps,
            1,
            "as many as it can use"
        );
    }

    #[test]
    fn wrong_keys_and_values_are_named() {
        assert!(
            read(json!({ "stepz": 1 }))
                .unwrap_err()
                .contains("did you mean `steps`?")
        );
        assert!(
            read(json!({ "quality": 1 }))
                .unwrap_err()
                .contains("known here: tokens, steps")
        );
        assert!(
            read(json!({ "steps": "four" }))
                .unwrap_err()
                .contains("`steps`: a whole number is wanted, not \"four\"")
        );
        assert!(
            read(json!({ "process": "gausian" }))
                .unwrap_err()
                .contains("`process`: unknown process")
        );
    }
}
