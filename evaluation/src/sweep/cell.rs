//! One combination of settings, and how it is described.

use drdiff_generation::Settings;
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
        let settings = &self.settings;
        let sampler = &settings.sampler;
        let process = sampler.process;
        let (soft, guided) = (process.is_soft(), process == Process::SoftAbsorbing);
        let waits = guided || process == Process::Hybrid;
        let (absorbing, decides) = (process == Process::Absorbing, process != Process::Gaussian);
        let only = |applies: bool, value: Value| if applies { value } else { value.emptied() };
        let guidance = &sampler.guidance;
        let reabsorb = sampler.reabsorb.filter(|_| decides);
        let spacing = if sampler.grid.table.is_empty() {
            sampler.grid.spacing.name()
        } else {
            "fitted"
        };
        vec![
            ("model", Value::from(self.model.as_str())),
            ("process", process.name().into()),
            ("solver", only(soft, sampler.solver.name().into())),
            ("order", only(soft, sampler.solver.order().into())),
            ("steps", sampler.steps.into()),
            ("block_size", settings.block_size.into()),
            ("commit", only(decides, sampler.commit.to_string().into())),
            ("pace", only(decides, sampler.pace.name().into())),
            ("extrapolate", only(absorbing, sampler.extrapolate.into())),
            ("corrections", only(absorbing, sampler.corrections.into())),
            ("temperature", sampler.sampling.temperature.into()),
            ("top_p", sampler.sampling.top_p.into()),
            ("frequency_penalty", sampler.frequency.penalty.into()),
            ("score_temperature", only(soft, sampler.score_temperature.into())),
            ("schedule", only(soft, json(&sampler.schedule).into())),
            ("spacing", only(soft, spacing.into())),
            ("min_log_snr", only(soft, sampler.grid.min_log_snr.into())),
            ("max_log_snr", only(soft, sampler.grid.max_log_snr.into())),
            ("lower_order_final", only(soft, sampler.lower_order_final.into())),
            ("guidance_kappa", only(guided, guidance.kappa.into())),
            ("guidance_gate", only(guided, guidance.gate.into())),
            ("guidance_boost", only(guided, guidance.boost.into())),
            ("guidance_anchor_after", only(waits, guidance.anchor_after.into())),
            ("reabsorb_below", reabsorb.map(|reabsorb| reabsorb.below).into()),
            ("reabsorb_per_step", reabsorb.map(|reabsorb| reabsorb.per_step).into()),
            ("self_condition", settings.self_condition.into()),
            ("style_guidance", settings.style_guidance.into()),
            ("compute", settings.compute.to_string().into()),
            ("stop_at_end", settings.stop_at_end.into()),
            ("tokens", settings.tokens.into()),
        ]
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
            Process::Absorbing if sampler.reabsorb.is_none() => {
                sampler.predictor_steps().min(len) + sampler.correction_steps()
            }
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
    match name {
        "block_size" => "block",
        "temperature" => "T",
        "top_p" => "top-p",
        "frequency_penalty" => "penalty",
        "score_temperature" => "score T",
        "self_condition" => "self-conditioning",
        "style_guidance" => "guidance by the prompt",
        "guidance_kappa" => "kappa",
        "guidance_gate" => "gate",
        "guidance_boost" => "boost",
        "guidance_anchor_after" => "anchors after",
        "reabsorb_below" => "reabsorb below",
        "stop_at_end" => "stop at end",
        other => other,
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

fn json(value: &impl serde::Serialize) -> String {
    // Configuration of plain numbers and names, which always has a JSON form.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(process: Process, steps: usize, block_size: usize) -> Cell {
        let mut settings = Settings {
            tokens: 20,
            block_size,
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
        let mut corrected = cell(Process::Absorbing, 8, 8);
        corrected.settings.sampler.corrections = 2;
        assert_eq!(
            corrected.passes(5),
            8 + 8 + (4 + 2),
            "a short last block is corrected as often"
        );
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
