//! Time grids: the levels at which a soft path evaluates the network.

use drdiff_diffusion::{NoiseSchedule, Vp};
use serde::{Deserialize, Serialize};

use crate::error::{Result, require};
use crate::names::named;

/// How the points of a grid are spaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Spacing {
    /// Uniform in the time of the schedule; with the Gumbel schedule, equal shares of the training loss.
    #[default]
    Time,
    /// Uniform in log-SNR (DPM-Solver, arXiv 2206.00927).
    LogSnr,
    /// Uniform in the square root of time, denser toward the clean end (DDIM, arXiv 2010.02502).
    Quadratic,
}

named!(Spacing, "grid spacing", { Time => "time", LogSnr => "log-snr", Quadratic => "quadratic" });

/// Spacing and ends of a grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GridConfig {
    /// Spacing of the points.
    pub spacing: Spacing,
    /// Least `ln s`, at the noisy end: schedules that reach further are cut here. DPM-Solver clips lambda at -5.1.
    pub min_log_snr: f64,
    /// Largest `ln s`, at the clean end. Beyond 6 nothing is left to decide for unit rows.
    pub max_log_snr: f64,
}

impl Default for GridConfig {
    fn default() -> Self {
        Self {
            spacing: Spacing::default(),
            min_log_snr: -10.2,
            max_log_snr: 6.0,
        }
    }
}

/// A path of log signal-to-noise ratios from noisy to clean, addressed by the progress made along it.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeGrid<S> {
    schedule: S,
    spacing: Spacing,
    /// Time at the noisy and at the clean end.
    times: [f64; 2],
    log_snr: [f64; 2],
}

impl<S: NoiseSchedule> TimeGrid<S> {
    /// The path of `schedule` between the ends of `config`.
    ///
    /// # Errors
    /// [`crate::Error::OutOfRange`] when the ends are not finite and ascending.
    pub fn new(schedule: S, config: GridConfig) -> Result<Self> {
        let GridConfig {
            spacing,
            min_log_snr,
            max_log_snr,
        } = config;
        require(min_log_snr.is_finite(), "min_log_snr", min_log_snr, "finite")?;
        require(
            max_log_snr > min_log_snr && max_log_snr.is_finite(),
            "max_log_snr",
            max_log_snr,
            "finite and above min_log_snr",
        )?;
        let ends = [
            schedule.log_snr(1.0).max(min_log_snr),
            schedule.log_snr(0.0).min(max_log_snr),
        ];
        let times = ends.map(|log_snr| schedule.time_of_alpha(Vp::from_lambda(0.5 * log_snr).alpha));
        require(
            ends[1] > ends[0],
            "max_log_snr",
            max_log_snr,
            "above the noisy end of the schedule",
        )?;
        Ok(Self {
            schedule,
            spacing,
            times,
            log_snr: ends,
        })
    }

    /// Time in `[0, 1]` (1 is noise) after a share `progress` in `[0, 1]` of the path, and its `ln s`.
    #[must_use]
    pub fn at(&self, progress: f64) -> (f64, f64) {
        let mix = |from: f64, to: f64| from + (to - from) * progress;
        // The ends are exact: neither rounding nor the inverse of the schedule may move them.
        if progress <= 0.0 {
            return (self.times[0], self.log_snr[0]);
        }
        if progress >= 1.0 {
            return (self.times[1], self.log_snr[1]);
        }
        let of_log_snr = |log_snr: f64| {
            let time = self.schedule.time_of_alpha(Vp::from_lambda(0.5 * log_snr).alpha);
            (time, log_snr)
        };
        match self.spacing {
            Spacing::Time => {
                let time = mix(self.times[0], self.times[1]);
                (time, self.schedule.log_snr(time))
            }
            Spacing::Quadratic => {
                let time = mix(self.times[0].sqrt(), self.times[1].sqrt()).powi(2);
                (time, self.schedule.log_snr(time))
            }
            Spacing::LogSnr => of_log_snr(mix(self.log_snr[0], self.log_snr[1])),
        }
    }

    /// `ln s` at `steps + 1` evenly spaced points of the path, ascending, both ends included.
    #[must_use]
    pub fn log_snrs(&self, steps: usize) -> Vec<f64> {
        (0..=steps).map(|k| self.at(k as f64 / steps.max(1) as f64).1).collect()
    }
}

#[cfg(test)]
mod tests {
    use drdiff_diffusion::{Cosine, Gumbel, Linear, ScheduleConfig, Sqrt};

    use super::*;

    #[test]
    fn every_grid_rises_between_its_ends() {
        let schedules = [
            ScheduleConfig::Cosine(Cosine {}),
            ScheduleConfig::Sqrt(Sqrt::default()),
            ScheduleConfig::Linear(Linear::default()),
            ScheduleConfig::Gumbel(Gumbel::default()),
        ];
        for schedule in schedules {
            for spacing in Spacing::ALL.iter().copied() {
                let config = GridConfig {
                    spacing,
                    min_log_snr: -8.0,
                    max_log_snr: 3.5,
                };
                let grid = TimeGrid::new(schedule, config).unwrap();
                for steps in [1, 2, 7, 64] {
                    let points = grid.log_snrs(steps);
                    assert_eq!(points.len(), steps + 1);
                    assert!(
                        points.windows(2).all(|w| w[0] < w[1]),
                        "{schedule:?} {spacing} {points:?}"
                    );
                    assert!(
                        (points[0] + 8.0).abs() < 1e-9 && (points[steps] - 3.5).abs() < 1e-9,
                        "{points:?}"
                    );
                }
                let (time, log_snr) = grid.at(0.4);
                assert!(
                    (schedule.log_snr(time) - log_snr).abs() < 1e-9,
                    "time and level belong together"
                );
            }
        }
    }

    #[test]
    fn spacing_is_even_in_its_own_variable() {
        let grid = |spacing| {
            TimeGrid::new(
                Cosine {},
                GridConfig {
                    spacing,
                    ..GridConfig::default()
                },
            )
            .unwrap()
        };
        let even = |values: Vec<f64>| values.windows(3).all(|w| (w[2] - 2.0 * w[1] + w[0]).abs() < 1e-9);
        assert!(even(grid(Spacing::LogSnr).log_snrs(10)));
        assert!(even(
            (0..=10)
                .map(|k| grid(Spacing::Time).at(f64::from(k) / 10.0).0)
                .collect()
        ));
        assert!(even(
            (0..=10)
                .map(|k| grid(Spacing::Quadratic).at(f64::from(k) / 10.0).0.sqrt())
                .collect()
        ));
    }

    #[test]
    fn impossible_ends_are_refused() {
        let config = GridConfig {
            min_log_snr: 2.0,
            max_log_snr: 1.0,
            ..GridConfig::default()
        };
        assert!(TimeGrid::new(Cosine {}, config).is_err());
        let config = GridConfig {
            min_log_snr: -9.0,
            max_log_snr: -8.5,
            ..GridConfig::default()
        };
        assert!(
            TimeGrid::new(Gumbel::default(), config).is_err(),
            "the schedule starts above that end"
        );
    }
}
