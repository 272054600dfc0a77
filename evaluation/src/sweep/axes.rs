//! The settings that a sweep can vary: each has a list in a [`Grid`] and a value in a [`Row`].

use drdiff_generation::{Compute, Settings};
use drdiff_solver::{CommitSchedule, Pace, Process, ReabsorbConfig, SolverName, Spacing, choose_solver};
use serde::{Deserialize, Serialize};

/// A commit schedule under the name that `--commit` reads.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitName(pub CommitSchedule);

impl TryFrom<String> for CommitName {
    type Error = drdiff_solver::Error;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse().map(Self)
    }
}

impl From<CommitName> for String {
    fn from(name: CommitName) -> Self {
        name.0.to_string()
    }
}

macro_rules! axes {
    ($($(#[$doc:meta])+ $name:ident: $type:ty),+ $(,)?) => {
        /// Values to combine, each with each. The setting that is listed first here varies slowest, whatever the order in
        /// the file. An empty list leaves the setting as it is.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Grid {
            $($(#[$doc])+ #[serde(skip_serializing_if = "Vec::is_empty")] pub $name: Vec<$type>,)+
        }

        /// One combination. What is not said stays as the sweep's `settings` have it.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Row {
            $($(#[$doc])+ #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<$type>,)+
        }

        impl Grid {
            /// All combinations.
            #[must_use]
            pub fn rows(&self) -> Vec<Row> {
                let mut rows = vec![Row::default()];
                $(if !self.$name.is_empty() {
                    rows = rows
                        .iter()
                        .flat_map(|row| self.$name.iter().map(|value| {
                            let mut row = row.clone();
                            row.$name = Some(value.clone());
                            row
                        }))
                        .collect();
                })+
                rows
            }

            /// The setting whose list names a value twice.
            pub(super) fn twice(&self) -> Option<&'static str> {
                $(if (1..self.$name.len()).any(|i| self.$name[..i].contains(&self.$name[i])) {
                    return Some(stringify!($name));
                })+
                None
            }
        }
    };
}

axes! {
    /// `bundled`, a model folder or a weights file.
    model: String,
    /// The path from noise to text.
    process: Process,
    /// Solver of the processes with soft levels: its full name, or the family `dpm++` or `sde`.
    solver: SolverName,
    /// Order of the solver; alone it keeps the family that the settings have.
    order: usize,
    /// Which positions are committed first, under the names of `--commit`.
    commit: CommitName,
    /// How the number of committed positions grows over the steps of a block.
    pace: Pace,
    /// Second-order extrapolation on the absorbing path.
    extrapolate: bool,
    /// How many of the steps draw positions of a finished block anew (`sampler.corrections`).
    corrections: usize,
    /// Spacing of the grid of soft levels.
    spacing: Spacing,
    /// Largest pull toward the top-1 embedding (`sampler.guidance.kappa`).
    guidance_kappa: f64,
    /// Top-1 probability from which a position is sure (`sampler.guidance.gate`).
    guidance_gate: f64,
    /// How much faster a sure position moves (`sampler.guidance.boost`).
    guidance_boost: f64,
    /// Share of the steps before the first anchor (`sampler.guidance.anchor_after`).
    guidance_anchor_after: f64,
    /// Positions that were committed with less than this probability are opened again; 0 opens none.
    reabsorb_below: f64,
    /// Whether each pass sees the last prediction.
    self_condition: bool,
    /// How closely the prompt is followed; 1 is plainly.
    style_guidance: f64,
    /// Divides the logits.
    temperature: f64,
    /// Score temperature of soft positions.
    score_temperature: f64,
    /// Mass of the likeliest tokens that take part.
    top_p: f64,
    /// Nats that a token loses for each e-fold of how often the text holds it (`sampler.frequency.penalty`).
    frequency_penalty: f64,
    /// Share of the routed experts that runs, or `auto`; models without them run whole.
    compute: Compute,
    /// Positions that are denoised together.
    block_size: usize,
    /// Network passes for a block.
    steps: usize,
}

impl Row {
    /// The settings `base` with what this row says.
    ///
    /// # Errors
    /// A solver that has no such order.
    pub(super) fn apply(&self, base: &Settings) -> drdiff_solver::Result<Settings> {
        fn set<T: Copy>(slot: &mut T, value: Option<T>) {
            *slot = value.unwrap_or(*slot);
        }
        let mut settings = base.clone();
        set(&mut settings.block_size, self.block_size);
        set(&mut settings.self_condition, self.self_condition);
        set(&mut settings.compute, self.compute);
        set(&mut settings.style_guidance, self.style_guidance);
        let sampler = &mut settings.sampler;
        set(&mut sampler.process, self.process);
        set(&mut sampler.steps, self.steps);
        set(&mut sampler.commit, self.commit.map(|name| name.0));
        set(&mut sampler.pace, self.pace);
        set(&mut sampler.extrapolate, self.extrapolate);
        set(&mut sampler.corrections, self.corrections);
        if let Some(spacing) = self.spacing {
            // A named grid replaces a fitted one that the settings may hold.
            (sampler.grid.spacing, sampler.grid.table) = (spacing, Vec::new());
        }
        set(&mut sampler.score_temperature, self.score_temperature);
        set(&mut sampler.sampling.temperature, self.temperature);
        set(&mut sampler.sampling.top_p, self.top_p);
        set(&mut sampler.frequency.penalty, self.frequency_penalty);
        let guidance = &mut sampler.guidance;
        set(&mut guidance.kappa, self.guidance_kappa);
        set(&mut guidance.gate, self.guidance_gate);
        set(&mut guidance.boost, self.guidance_boost);
        set(&mut guidance.anchor_after, self.guidance_anchor_after);
        if let Some(below) = self.reabsorb_below {
            let known = sampler.reabsorb.unwrap_or_default();
            sampler.reabsorb = (below != 0.0).then_some(ReabsorbConfig { below, ..known });
        }
        sampler.solver = choose_solver(self.solver, self.order, sampler.solver)?;
        Ok(settings)
    }

    /// Takes out the settings that change nothing under `process`, and returns their names, each with the reason.
    pub(super) fn prune(&mut self, process: Process) -> Vec<(&'static str, &'static str)> {
        let mut idle = Vec::new();
        macro_rules! drop {
            ($reason:literal: $($name:ident),+) => {
                $(if self.$name.take().is_some() {
                    idle.push((stringify!($name), $reason));
                })+
            };
        }
        if process == Process::Absorbing {
            drop!("the absorbing process has no soft positions": solver, order, spacing, score_temperature);
        }
        if process == Process::Gaussian {
            drop!("the gaussian process decides all tokens of a block at its end": commit, pace, reabsorb_below);
        }
        if process != Process::Absorbing {
            drop!("only the absorbing process extrapolates": extrapolate);
            drop!("only the absorbing process is corrected": corrections);
        }
        if process != Process::SoftAbsorbing {
            drop!("only the soft-absorbing process is guided": guidance_kappa, guidance_gate, guidance_boost);
        }
        if !matches!(process, Process::SoftAbsorbing | Process::Hybrid) {
            drop!("only the soft-absorbing and hybrid processes wait for their first anchor": guidance_anchor_after);
        }
        idle
    }
}

#[cfg(test)]
mod tests {
    use drdiff_solver::SolverConfig;

    use super::*;

    #[test]
    fn the_first_listed_setting_varies_slowest() {
        let grid = Grid {
            steps: vec![1, 2],
            block_size: vec![4, 8, 16],
            ..Grid::default()
        };
        let rows: Vec<_> = grid.rows().iter().map(|row| (row.block_size, row.steps)).collect();
        let expected = [(4, 1), (4, 2), (8, 1), (8, 2), (16, 1), (16, 2)];
        assert_eq!(rows, expected.map(|(block, steps)| (Some(block), Some(steps))));
        assert_eq!(Grid::default().rows(), [Row::default()]);
    }

    #[test]
    fn a_row_changes_what_it_names_and_no_more() {
        let base = Settings::default();
        let row = Row {
            steps: Some(3),
            order: Some(3),
            reabsorb_below: Some(0.4),
            ..Row::default()
        };
        let settings = row.apply(&base).unwrap();
        assert_eq!(
            (settings.sampler.steps, settings.sampler.solver),
            (3, SolverConfig::Dpmpp3m)
        );
        assert_eq!(settings.sampler.reabsorb.map(|reabsorb| reabsorb.below), Some(0.4));
        assert_eq!(Row::default().apply(&base).unwrap(), base);

        let mut fitted = base;
        fitted.sampler.grid.table = vec![-3.0, 3.0];
        let named = Row {
            spacing: Some(Spacing::LogSnr),
            style_guidance: Some(2.0),
            ..Row::default()
        };
        let settings = named.apply(&fitted).unwrap();
        assert!(
            settings.sampler.grid.table.is_empty(),
            "a named grid replaces a fitted one"
        );
        assert_eq!(settings.style_guidance, 2.0);
    }

    #[test]
    fn what_has_no_effect_is_found() {
        let row = Row {
            solver: Some(SolverName::Sde),
            guidance_kappa: Some(0.1),
            guidance_anchor_after: Some(0.3),
            corrections: Some(1),
            temperature: Some(0.5),
            ..Row::default()
        };
        let idle = |process| {
            let mut row = row.clone();
            row.prune(process).iter().map(|(name, _)| *name).collect::<Vec<_>>()
        };
        assert_eq!(
            idle(Process::Absorbing),
            ["solver", "guidance_kappa", "guidance_anchor_after"]
        );
        assert_eq!(
            idle(Process::Gaussian),
            ["corrections", "guidance_kappa", "guidance_anchor_after"]
        );
        assert_eq!(idle(Process::Hybrid), ["corrections", "guidance_kappa"]);
        assert_eq!(idle(Process::SoftAbsorbing), ["corrections"]);
    }
}
