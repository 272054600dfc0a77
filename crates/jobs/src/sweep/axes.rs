//! The settings that a sweep can vary: each has a list in a [`Grid`] and a value in a [`Row`], under its name in the table of
//! [settings](SETTINGS).

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::LazyLock;

use drdiff_generation::Choices;
use drdiff_generation::settings::{SETTINGS, Setting};
use drdiff_solver::Process;
use serde::de::{DeserializeOwned, DeserializeSeed, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// The axis that is no setting of writing: `bundled`, a model folder or a weights file.
const MODEL: &str = "model";

/// The settings that vary fastest, the last one most.
const INNERMOST: [&str; 2] = ["block_size", "steps"];

/// The names of all axes.
static AXES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let settings = SETTINGS.iter().filter(|setting| setting.axis);
    [MODEL]
        .into_iter()
        .chain(settings.map(|setting| setting.name))
        .collect()
});

/// Values to combine, each with each. The model varies slowest, then settings in the order of their table; block size and steps vary
/// fastest, whatever the order in the file. An empty list leaves the setting as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Grid(BTreeMap<&'static str, Vec<Value>>);

/// One combination. What is not said stays as the sweep's `settings` have it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Row(BTreeMap<&'static str, Value>);

impl Grid {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.values().all(Vec::is_empty)
    }

    /// All combinations.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let outer = AXES.iter().filter(|name| !INNERMOST.contains(name));
        let mut rows = vec![Row::default()];
        for name in outer.chain(&INNERMOST) {
            let Some(values) = self.0.get(name).filter(|values| !values.is_empty()) else {
                continue;
            };
            let with = |row: &Row, value: &Value| {
                let mut row = row.clone();
                row.0.insert(*name, value.clone());
                row
            };
            rows = rows
                .iter()
                .flat_map(|row| values.iter().map(|value| with(row, value)))
                .collect();
        }
        rows
    }

    /// The axis whose list names a value twice.
    pub(super) fn twice(&self) -> Option<&'static str> {
        let repeats = |list: &[Value]| (1..list.len()).any(|i| list[..i].contains(&list[i]));
        self.0.iter().find(|(_, values)| repeats(values)).map(|(name, _)| *name)
    }
}

impl Row {
    /// The model, if one is named.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.0.get(MODEL).and_then(Value::as_str)
    }

    /// The settings.
    #[must_use]
    pub fn choices(&self) -> Choices {
        let settings = self.0.iter().filter(|(name, _)| **name != MODEL);
        settings.fold(Choices::default(), |choices, (name, value)| {
            choices.with(name, value.clone())
        })
    }

    /// Takes out the settings that change nothing under `process`, and returns their names, each with the reason.
    pub(super) fn prune(&mut self, process: Process) -> Vec<(&'static str, &'static str)> {
        let choices = self.choices();
        let idle = choices
            .idle(process)
            .map(|setting| (setting.name, setting.concerns.why));
        idle.inspect(|(name, _)| drop(self.0.remove(name))).collect()
    }
}

/// Reads what stands under the key of an axis; without a setting it is the model's.
struct Entry<T>(Option<&'static Setting>, PhantomData<T>);

/// A value, or a list of them.
trait Values: DeserializeOwned {
    fn read(self, one: &dyn Fn(Value) -> Result<Value, String>) -> Result<Self, String>;
}

impl Values for Value {
    fn read(self, one: &dyn Fn(Self) -> Result<Self, String>) -> Result<Self, String> {
        one(self)
    }
}

impl Values for Vec<Value> {
    fn read(self, one: &dyn Fn(Value) -> Result<Value, String>) -> Result<Self, String> {
        self.into_iter().map(one).collect()
    }
}

impl<'de, T: Values> DeserializeSeed<'de> for Entry<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<T, D::Error> {
        let one = |value: Value| match self.0 {
            Some(setting) => setting.read(value),
            None if value.is_string() => Ok(value),
            None => Err(format!("the name of a model is wanted, not {value}")),
        };
        T::deserialize(from)?.read(&one).map_err(Error::custom)
    }
}

/// Reads a map whose keys are axes.
struct ByAxis<T>(PhantomData<T>);

impl<'de, T: Values> Visitor<'de> for ByAxis<T> {
    type Value = BTreeMap<&'static str, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from settings to values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let name = AXES.iter().find(|name| **name == key);
            let name = name.ok_or_else(|| A::Error::unknown_field(&key, &AXES))?;
            let setting = SETTINGS.iter().find(|setting| setting.name == *name);
            entries.insert(*name, map.next_value_seed(Entry(setting, PhantomData))?);
        }
        Ok(entries)
    }
}

impl<'de> Deserialize<'de> for Grid {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(ByAxis(PhantomData)).map(Self)
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(ByAxis(PhantomData)).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn models_vary_slowest_and_steps_fastest() {
        let grid: Grid = from_value(json!({ "steps": [1, 2], "block_size": [4, 8, 16], "model": ["a", "b"] })).unwrap();
        let rows = grid.rows();
        let get = |row: &Row, name: &str| row.0.get(name).and_then(Value::as_u64).unwrap();
        let found: Vec<_> = rows[..6]
            .iter()
            .map(|row| (get(row, "block_size"), get(row, "steps")))
            .collect();
        assert_eq!(found, [(4, 1), (4, 2), (8, 1), (8, 2), (16, 1), (16, 2)]);
        let models: Vec<_> = rows.iter().filter_map(|row| row.model()).collect();
        assert_eq!(models, [["a"; 6], ["b"; 6]].concat());
        assert_eq!(Grid::default().rows(), [Row::default()]);
        assert_eq!(from_value::<Grid>(json!(grid)).unwrap(), grid);
        assert_eq!(from_value::<Row>(json!(rows[0])).unwrap(), rows[0]);
    }

    #[test]
    fn what_has_no_effect_is_found() {
        let row: Row = from_value(json!({
            "solver": "sde", "guidance_kappa": 0.1, "guidance_anchor_after": 0.3, "temperature": 0.5,
        }))
        .unwrap();
        let idle = |process| {
            row.clone()
                .prune(process)
                .iter()
                .map(|(name, _)| *name)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            idle(Process::Absorbing),
            ["solver", "guidance_kappa", "guidance_anchor_after"]
        );
        assert_eq!(idle(Process::Gaussian), ["guidance_kappa", "guidance_anchor_after"]);
        assert_eq!(idle(Process::Hybrid), ["guidance_kappa"]);
        assert!(idle(Process::SoftAbsorbing).is_empty());
    }

    #[test]
    fn every_axis_of_the_table_is_taken_and_no_other() {
        for setting in SETTINGS {
            let value = setting.value(&drdiff_generation::Settings::default());
            let row = from_value::<Row>(json!({ setting.name: value }));
            // What is left to the model has no value to vary.
            assert_eq!(row.is_ok(), setting.axis, "{}", setting.name);
        }
    }
}
