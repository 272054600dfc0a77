//! Settings that somebody chose, by name.

use std::collections::BTreeMap;

use drdiff_solver::{Process, SolverName, choose_solver};
use serde::de::DeserializeOwned;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::slot::take;
use super::{Kind, SETTINGS, Setting, Settings};
use crate::values::tidy;
use crate::{Error, Result};

/// The order of the settings in what fingerprints of batch lines are made of: that in which they came to be. Others follow in the
/// order of the table.
const FIRST: [&str; 17] = [
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

/// What somebody chose of the [`SETTINGS`], in a file, by flags, in a line or a row. What is left out follows what is chosen:
/// [`Choices::resolve`].
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct Choices(BTreeMap<usize, Value>);

/// The setting of this name, and its place in the table.
fn find(name: &str) -> Option<(usize, &'static Setting)> {
    SETTINGS.iter().enumerate().find(|(_, setting)| setting.name == name)
}

/// The setting of this name.
///
/// # Errors
/// In words, what the name may stand for.
pub fn setting(name: &str) -> Result<&'static Setting, String> {
    let known = find(name).map(|(_, setting)| setting);
    known.ok_or_else(|| unknown_key(name, SETTINGS.iter().map(|setting| setting.name)))
}

impl Choices {
    /// Reads choices from JSON: a null is as good as absent, and `8.0` is 8.
    ///
    /// # Errors
    /// In words, which name is unknown (and what it may stand for) or has a value of the wrong kind.
    pub fn from_json(map: Map<String, Value>) -> Result<Self, String> {
        let mut choices = Self::default();
        for (name, value) in tidy(map) {
            choices.choose(&name, value)?;
        }
        Ok(choices)
    }

    /// Everything that settings say, as if somebody had chosen all of it.
    #[must_use]
    pub fn all_of(settings: &Settings) -> Self {
        let places = SETTINGS
            .iter()
            .enumerate()
            .filter(|(_, setting)| !setting.path.is_empty());
        let values = places.map(|(place, setting)| (place, setting.value(settings)));
        // A name that is left to the model is null.
        let chosen =
            values.filter(|(place, value)| !value.is_null() || !matches!(SETTINGS[*place].kind, Kind::Name(_)));
        Self(chosen.collect())
    }

    /// Chooses a value.
    ///
    /// # Errors
    /// In words, what is wrong with the name or the value.
    pub fn choose(&mut self, name: &str, value: impl Into<Value>) -> Result<(), String> {
        let setting = setting(name)?;
        let value = setting
            .read(value.into())
            .map_err(|wrong| format!("`{name}`: {wrong}"))?;
        self.0.extend(find(name).map(|(place, _)| (place, value)));
        Ok(())
    }

    /// [`Choices::choose`] for names and values that are known to be right.
    ///
    /// # Panics
    /// If they are not.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.choose(name, value).unwrap_or_else(|wrong| panic!("{wrong}"));
        self
    }

    /// The value of a setting, if somebody chose one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        find(name).and_then(|(place, _)| self.0.get(&place))
    }

    /// The chosen value of a setting as a `T`, which must be the setting's type.
    pub(super) fn typed<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.get(name).and_then(|value| take(value.clone()).ok())
    }

    /// The settings that are chosen.
    pub fn settings(&self) -> impl Iterator<Item = &'static Setting> {
        self.0.keys().map(|place| &SETTINGS[*place])
    }

    /// Whether nothing is chosen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets the choices for which `keep` is false.
    pub fn retain(&mut self, mut keep: impl FnMut(&'static Setting) -> bool) {
        self.0.retain(|place, _| keep(&SETTINGS[*place]));
    }

    /// These choices, and where they say nothing those of `base`. Of a solver in `base` an order alone keeps the family; a solver of
    /// a fixed order replaces both.
    #[must_use]
    pub fn over(&self, base: &Self) -> Self {
        let mut all = base.clone();
        let exact = |choices: &Self| match choices.typed::<SolverName>("solver") {
            Some(SolverName::Exact(solver)) => Some(solver),
            _ => None,
        };
        if exact(self).is_some() {
            all.retain(|setting| setting.name != "order");
        }
        if let (Some(solver), None, Some(_)) = (exact(&all), self.get("solver"), self.get("order")) {
            all = all.with("solver", SolverName::family_of(solver).to_string());
        }
        all.0
            .extend(self.0.iter().map(|(place, value)| (*place, value.clone())));
        all
    }

    /// The process that is chosen, or the default.
    #[must_use]
    pub fn process(&self) -> Process {
        self.typed("process").unwrap_or_default()
    }

    /// The chosen settings that a process does not use.
    pub fn idle(&self, process: Process) -> impl Iterator<Item = &'static Setting> {
        self.settings()
            .filter(move |setting| !setting.concerns.process(process))
    }

    /// `settings` with what is chosen, and no more.
    ///
    /// # Errors
    /// [`Error::Setting`] for a value that the program cannot hold, [`Error::Solver`] if there is no solver of the name and order.
    pub(super) fn put(&self, settings: &mut Settings) -> Result<()> {
        for (place, value) in &self.0 {
            let Setting { name, slot, .. } = &SETTINGS[*place];
            (slot.put)(settings, value.clone()).map_err(|wrong| Error::Setting(format!("`{name}`: {wrong}")))?;
        }
        let solver = &mut settings.sampler.solver;
        *solver = choose_solver(self.typed("solver"), self.typed("order"), *solver)?;
        Ok(())
    }
}

/// A map from names to values.
impl Serialize for Choices {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        let first = FIRST.iter().filter_map(|name| find(name));
        let rest = SETTINGS.iter().enumerate();
        let rest = rest.filter(|(_, setting)| !FIRST.contains(&setting.name));
        for (place, setting) in first.chain(rest) {
            if let Some(value) = self.0.get(&place) {
                map.serialize_entry(setting.name, value)?;
            }
        }
        map.end()
    }
}

impl TryFrom<Map<String, Value>> for Choices {
    type Error = String;

    fn try_from(map: Map<String, Value>) -> Result<Self, String> {
        Self::from_json(map)
    }
}

/// What to say about a key that is not among the known ones.
pub fn unknown_key<'a>(key: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    // Nobody mistypes a word of so many letters, and to compare them takes memory for each pair.
    let likely = (key.len() < 100).then(|| drdiff_configs::nearest(key, known.clone()));
    match likely.flatten() {
        Some(nearest) => format!("unknown field `{key}`; did you mean `{nearest}`?"),
        None => format!(
            "unknown field `{key}`; known here: {}",
            known.collect::<Vec<_>>().join(", ")
        ),
    }
}
