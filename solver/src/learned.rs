//! Learned time: a schedule fitted to the loss of a model, and the grid that is even in it.

use drdiff_diffusion::{Gumbel, ScheduleConfig};
use serde::{Deserialize, Serialize};

use crate::error::{Result, require_len};
use crate::grid::{GridConfig, TimeGrid};

/// The schedule in whose time a model's loss rises evenly, after LangFlow (arXiv 2604.11748; see [`Gumbel`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearnedTime {
    /// The schedule, in the form of `sampler.schedule`.
    pub schedule: ScheduleConfig,
    /// `ln s` at evenly spaced learned times, ascending, both ends of the measured path included.
    pub log_snr: Vec<f64>,
}

impl LearnedTime {
    /// Fits the schedule to the cross-entropies `nats` of a model at the levels `log_snr` (ascending), and lays a grid of `steps` steps
    /// from the first of them to the last.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] when the lengths differ, that of [`Gumbel::fit`] when the loss does not fall with the signal, and
    /// [`crate::Error::OutOfRange`] when the fitted schedule lies beside the path.
    pub fn fit(log_snr: &[f64], nats: &[f64], steps: usize) -> Result<Self> {
        require_len("cross-entropies", nats.len(), log_snr.len())?;
        let pairs: Vec<_> = log_snr
            .iter()
            .zip(nats)
            .map(|(log_snr, nats)| (-log_snr, *nats))
            .collect();
        let schedule = ScheduleConfig::Gumbel(Gumbel::default().fit(&pairs)?);
        let (first, last) = (log_snr[0], log_snr[log_snr.len() - 1]);
        let ends = GridConfig {
            min_log_snr: first,
            max_log_snr: last,
            ..GridConfig::default()
        };
        let mut points = TimeGrid::new(schedule, ends)?.log_snrs(steps);
        // A schedule that begins later or ends sooner than the path steps over what it leaves out.
        (points[0], points[steps]) = (first, last);
        Ok(Self {
            schedule,
            log_snr: points,
        })
    }
}

#[cfg(test)]
mod tests {
    use drdiff_diffusion::NoiseSchedule;

    use super::*;

    fn path() -> Vec<f64> {
        (0..60).map(|i| -8.0 + 12.0 * f64::from(i) / 59.0).collect()
    }

    #[test]
    fn a_synthetic_loss_gives_back_its_schedule_and_equal_shares_of_itself() {
        let truth = Gumbel {
            mu: -0.6,
            beta: 1.1,
            entropy: 5.5,
            ..Gumbel::default()
        };
        let nats: Vec<f64> = path().iter().map(|log_snr| truth.expected_loss(-log_snr)).collect();
        let learned = LearnedTime::fit(&path(), &nats, 6).unwrap();
        let ScheduleConfig::Gumbel(found) = learned.schedule else {
            panic!("{learned:?}")
        };
        assert!(
            (found.mu - truth.mu).abs() < 1e-4 && (found.beta - truth.beta).abs() < 1e-4,
            "{found:?}"
        );
        assert!((found.entropy - truth.entropy).abs() < 1e-4);
        let loss: Vec<f64> = learned.log_snr.iter().map(|l| truth.expected_loss(-l)).collect();
        let falls: Vec<f64> = loss.windows(2).map(|pair| pair[0] - pair[1]).collect();
        let mean = (loss[0] - loss[6]) / 6.0;
        assert!(falls.iter().all(|fall| (fall - mean).abs() < 0.02 * mean), "{falls:?}");
    }

    #[test]
    fn the_grid_has_the_ends_of_the_path_whatever_the_schedule_spans() {
        // This one spans -2.5 to 1.7 alone.
        let narrow = Gumbel {
            mu: -1.0,
            beta: 0.3,
            ..Gumbel::default()
        };
        let nats: Vec<f64> = path().iter().map(|log_snr| narrow.expected_loss(-log_snr)).collect();
        let learned = LearnedTime::fit(&path(), &nats, 5).unwrap();
        assert_eq!((learned.log_snr[0], learned.log_snr[5]), (-8.0, 4.0));
        assert!(learned.log_snr.windows(2).all(|pair| pair[0] < pair[1]), "{learned:?}");
        assert!(learned.schedule.log_snr(1.0) > -8.0);
    }

    #[test]
    fn a_loss_that_does_not_fall_is_refused() {
        assert!(LearnedTime::fit(&path(), &[1.0; 3], 4).is_err());
        assert!(LearnedTime::fit(&[0.0, 1.0], &[2.0, 1.0], 1).is_err());
        let rising: Vec<f64> = (0..60).map(f64::from).collect();
        assert!(LearnedTime::fit(&path(), &rising, 4).is_err());
    }
}
