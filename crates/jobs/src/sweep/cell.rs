//! One combination of settings, and how it is described.

use drdiff_generation::Settings;
use drdiff_generation::settings::{Kind, SETTINGS, Setting as Definition};
use drdiff_solver::Process;

use crate::table::Value;

/// One combination of settings: a row of the results.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// `bundled`, a model folder or a weights file.
    pub model: String,
    /// All settings; the seed is that of the text.
    pub settings: Settings,
}

/// What is told of every cell.
const TOLD: &[&str] = &["process", "solver", "steps", "block_size", "temperature"];

/// A setting with its name in tables.
pub type Setting = (&'static str, Value);

impl Cell {
    /// Every setting that takes effect, in the order of the results' columns. What the process does not use is empty.
    #[must_use]
    pub fn columns(&self) -> Vec<Setting> {
        let process = self.settings.sampler.process;
        let columns = SETTINGS.iter().filter(|setting| setting.is_column()).map(|setting| {
            let value = value(setting, &self.settings);
            let applies = setting.concerns.process(process);
            (setting.name, if applies { value } else { value.emptied() })
        });
        [("model", Value::from(self.model.as_str()))]
            .into_iter()
            .chain(columns)
            .collect()
    }

    /// The settings that most people look at, in a few words.
    #[must_use]
    pub fn describe(&self) -> String {
        let columns = self.columns();
        label(columns.iter().filter(|(name, _)| TOLD.contains(name)))
    }

    /// Network passes that a text after `prompt` tokens takes at most: one for each step of each block, and more in
    /// front where the prompt is longer than a pass takes in.
    #[must_use]
    pub fn passes(&self, prompt: usize) -> usize {
        let Settings { tokens, block_size, .. } = self.settings;
        let sampler = &self.settings.sampler;
        let of_block = |len: usize| match sampler.process {
            Process::Absorbing if sampler.reabsorb.is_none() => sampler.steps.min(len),
            _ => sampler.steps,
        };
        let (whole, rest) = (tokens / block_size, tokens % block_size);
        let last = if rest > 0 { of_block(rest) } else { 0 };
        whole * of_block(block_size) + last + drdiff_generation::prefill_passes(prompt, block_size)
    }
}

/// Settings in words: `steps 4, block 8`.
pub(crate) fn label<'a>(settings: impl Iterator<Item = &'a Setting>) -> String {
    let words = settings
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| match (*name, value) {
            ("process" | "solver" | "model", value) => value.to_string(),
            (name, Value::Flag(Some(true))) => short(name).to_owned(),
            (name, Value::Flag(_)) => format!("no {}", short(name)),
            (name, value) => format!("{} {value}", short(name)),
        });
    words.collect::<Vec<_>>().join(", ")
}

/// A setting's name in running text.
pub(crate) fn short(name: &str) -> &str {
    let setting = SETTINGS.iter().find(|setting| setting.name == name);
    setting.map_or(name, |setting| setting.short)
}

/// The value of a setting in a table.
fn value(setting: &Definition, settings: &Settings) -> Value {
    use serde_json::Value as Json;
    let value = setting.value(settings);
    match (setting.name, setting.kind) {
        ("reabsorb_below" | "reabsorb_per_step", kind) if settings.sampler.reabsorb.is_none() => match kind {
            Kind::Whole(..) => Value::Int(None),
            _ => Value::Float(None),
        },
        (_, Kind::Whole(..)) => Value::Int(value.as_i64()),
        (_, Kind::Number(_)) => value.as_f64().into(),
        (_, Kind::Switch) => value.as_bool().into(),
        (_, Kind::Name(_) | Kind::Other(_)) => match value {
            Json::Null => Value::Text(None),
            Json::String(name) => name.into(),
            // A number that a name may stand in for.
            Json::Number(number) => number.as_f64().map(|number| number.to_string()).into(),
            other => other.to_string().into(),
        },
    }
}

/// The settings in which `cells` differ, by their names.
#[must_use]
pub fn varied(cells: &[Cell]) -> Vec<&'static str> {
    let columns: Vec<Vec<Setting>> = cells.iter().map(Cell::columns).collect();
    let Some(first) = columns.first() else {
        return Vec::new();
    };
    let differs = |index: &usize| columns.iter().any(|row| row[*index].1 != first[*index].1);
    (0..first.len()).filter(differs).map(|index| first[index].0).collect()
}

/// Names of the settings in which those differ that have them; the order of a solver is told by its name. That some have a setting
/// and others do not follows from another one, such as their process.
pub(crate) fn differing(columns: &[&[Setting]]) -> Vec<&'static str> {
    let differs = |index: &usize| {
        let mut values = columns
            .iter()
            .map(|row| &row[*index].1)
            .filter(|value| !value.is_empty());
        let first = values.next();
        values.any(|value| Some(value) != first)
    };
    let Some(first) = columns.first() else {
        return Vec::new();
    };
    let names = (0..first.len()).filter(differs).map(|index| first[index].0);
    names.filter(|name| *name != "order").collect()
}

/// Each cell in words: what most people look at, and whatever else the cells differ in.
#[must_use]
pub fn descriptions(cells: &[Cell]) -> Vec<String> {
    let columns: Vec<Vec<Setting>> = cells.iter().map(Cell::columns).collect();
    let slices: Vec<&[Setting]> = columns.iter().map(Vec::as_slice).collect();
    let more = differing(&slices);
    let told = |name: &str| TOLD.contains(&name) || more.contains(&name);
    slices
        .iter()
        .map(|row| label(row.iter().filter(|(name, _)| told(name))))
        .collect()
}

#[cfg(test)]
mod tests {
    use drdiff_solver::SamplerConfig;

    use super::*;

    fn cell(process: Process, steps: usize, block_size: usize) -> Cell {
        let mut settings = Settings {
            tokens: 20,
            block_size,
            sampler: SamplerConfig::plain(),
            ..Settings::default()
        };
        settings.sampler.process = process;
        settings.sampler.steps = steps;
        Cell {
            model: "bundled".to_owned(),
            settings,
        }
    }

    #[test]
    fn cells_are_told_by_what_takes_effect() {
        let absorbing = cell(Process::Absorbing, 4, 8);
        assert_eq!(absorbing.describe(), "absorbing, steps 4, block 8, T 1");
        let gaussian = cell(Process::Gaussian, 4, 8);
        assert_eq!(gaussian.describe(), "gaussian, dpmpp-2m, steps 4, block 8, T 1");
        assert_eq!(varied(&[absorbing.clone(), cell(Process::Absorbing, 8, 8)]), ["steps"]);
        let mut narrow = cell(Process::Absorbing, 4, 8);
        narrow.settings.sampler.sampling.top_p = 0.9;
        let told = descriptions(&[absorbing.clone(), narrow, gaussian.clone()]);
        assert_eq!(
            told,
            [
                "absorbing, steps 4, block 8, T 1, top-p 1",
                "absorbing, steps 4, block 8, T 1, top-p 0.9",
                "gaussian, dpmpp-2m, steps 4, block 8, T 1, top-p 1",
            ]
        );
        assert!(varied(&[absorbing, gaussian]).starts_with(&["process", "solver", "order"]));
    }

    #[test]
    fn passes_are_counted_ahead() {
        assert_eq!(cell(Process::Absorbing, 4, 8).passes(5), 4 + 4 + 4);
        assert_eq!(
            cell(Process::Absorbing, 8, 8).passes(5),
            8 + 8 + 4,
            "the last block has 4 positions"
        );
        assert_eq!(cell(Process::Gaussian, 8, 8).passes(5), 24);
        assert_eq!(
            cell(Process::Gaussian, 8, 8).passes(257),
            25,
            "the prompt takes a pass of its own"
        );
    }
}
