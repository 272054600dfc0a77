//! From a sweep's configuration to its cells.

use std::collections::BTreeMap;
use std::path::Path;

use drdiff_generation::{Engine, Error as GenerationError, NetworkKind, Settings};
use drdiff_solver::Error as SolverError;

use super::axes::Row;
use super::cell::Cell;
use super::config::SweepConfig;
use super::error::{Result, SweepError};

/// The model that is meant when none is named.
pub const BUNDLED: &str = "bundled";

/// A combination that is not run, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its settings, in words.
    pub what: String,
    /// Why it is impossible or nothing of its own.
    pub reason: String,
}

/// The cells of a sweep, in the order in which they run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What is run.
    pub cells: Vec<Cell>,
    /// What is not.
    pub left_out: Vec<LeftOut>,
}

impl Plan {
    /// The cells of `grid`, then those of `rows`. In a grid, what is impossible or the same as another cell is left out
    /// with its reason; rows were written one by one, so there it is an error.
    pub(super) fn new(config: &SweepConfig, bundled: NetworkKind) -> Result<Self> {
        let mut plan = Self {
            cells: Vec::new(),
            left_out: Vec::new(),
        };
        let base = &config.settings.0;
        // Reasons why a setting was ignored, and how often.
        let mut idle: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        if !config.grid.is_empty() || config.rows.is_empty() {
            for mut row in config.grid.rows() {
                let process = row.choices().over(base).process();
                let without_effect = row.prune(process);
                let ignored = !without_effect.is_empty();
                match cell(&row, config, bundled)? {
                    Ok(cell) if !plan.cells.contains(&cell) => plan.cells.push(cell),
                    Ok(_) if ignored => without_effect
                        .iter()
                        .for_each(|key| *idle.entry(*key).or_default() += 1),
                    Ok(_) => {}
                    Err(reason) => plan.left_out.push(reason),
                }
            }
        }
        for ((name, reason), count) in idle {
            plan.left_out.push(LeftOut {
                what: format!("{count} more with other {name}"),
                reason: format!("{name} changes nothing here: {reason}"),
            });
        }
        for (index, row) in config.rows.iter().enumerate() {
            let mut row = row.clone();
            let wrong = |reason: String| SweepError::Config(format!("`rows.{index}` cannot be run: {reason}"));
            let process = row.choices().over(base).process();
            if let Some((name, reason)) = row.prune(process).first() {
                return Err(wrong(format!("{name} changes nothing, because {reason}; leave it out")));
            }
            let cell = cell(&row, config, bundled)?.map_err(|left_out| wrong(left_out.reason))?;
            if plan.cells.contains(&cell) {
                return Err(wrong("an earlier cell has the same settings; leave it out".to_owned()));
            }
            plan.cells.push(cell);
        }
        if plan.cells.is_empty() {
            let reason = plan
                .left_out
                .first()
                .map_or("there is no combination", |left| &left.reason);
            return Err(SweepError::Config(format!("no cell of the sweep can be run: {reason}")));
        }
        Ok(plan)
    }

    /// Leaves out the cells that `model`, which `engine` holds, cannot write.
    pub fn fit(&mut self, model: &str, engine: &mut Engine) {
        let left_out = &mut self.left_out;
        self.cells.retain(|cell| {
            if cell.model != model {
                return true;
            }
            let refused = engine.check(&cell.settings).err();
            left_out.extend(refused.iter().map(|error| LeftOut {
                what: cell.describe(),
                reason: format!("{model}: {error}"),
            }));
            refused.is_none()
        });
    }

    /// The models, in the order of their first cells.
    #[must_use]
    pub fn models(&self) -> Vec<String> {
        let mut models: Vec<String> = Vec::new();
        for cell in &self.cells {
            if !models.contains(&cell.model) {
                models.push(cell.model.clone());
            }
        }
        models
    }
}

/// The cell of a row, or why it cannot be. A number out of range is an error, for it is wrong in every combination.
fn cell(row: &Row, config: &SweepConfig, bundled: NetworkKind) -> Result<std::result::Result<Cell, LeftOut>> {
    let (base, model) = (&config.settings.0, row.model().unwrap_or(&config.model).to_owned());
    let out = |settings: Settings, reason: String| {
        let what = Cell {
            model: model.clone(),
            settings,
        }
        .describe();
        Ok(Err(LeftOut { what, reason }))
    };
    let kind = match model == BUNDLED {
        true => bundled,
        false => NetworkKind::at(Path::new(&model)),
    };
    let settings = match row.choices().over(base).resolve(kind) {
        Ok(settings) => settings,
        Err(GenerationError::Solver(error @ SolverError::FixedOrder { .. })) => {
            return out(base.resolve(kind)?, error.to_string());
        }
        Err(error) => return Err(error.into()),
    };
    settings.sampler.validate()?;
    settings.compute.validate()?;
    let Settings { tokens, block_size, .. } = settings;
    if block_size == 0 {
        return Err(SweepError::Config("a block size is 0; choose at least 1".to_owned()));
    }
    if block_size > tokens {
        return out(
            settings,
            format!("a block of {block_size} is longer than a text of {tokens} tokens"),
        );
    }
    if let Err(error) = settings.check_steps() {
        return out(settings, error.to_string());
    }
    Ok(Ok(Cell { model, settings }))
}
