//! Corrections: positions of a finished block are opened again and drawn anew, each knowing all the others.
//!
//! Tokens that were drawn in one step do not know of each other. A network that predicts some positions from all others makes an
//! approximate step of Gibbs sampling with them, which moves the text toward the network's own joint distribution (the corrector
//! of Campbell et al., arXiv 2205.14987, and of Zhao et al., arXiv 2407.21243, both in continuous time; Gibbs sampling with masked
//! networks: Wang and Cho, arXiv 1902.04094). It is approximate because positions of one correction do not know of each
//! other either, so they lie far apart; and because predictions for different positions need not belong to one joint distribution.

use drdiff_noise::Noise;

use crate::commit::CommitSchedule;
use crate::config::{Process, SamplerConfig};

impl SamplerConfig {
    /// Corrections that a block ends with: those asked for on the absorbing path, as long as one step is left to write it.
    #[must_use]
    pub fn correction_steps(&self) -> usize {
        match self.process {
            Process::Absorbing => self.corrections.min(self.steps.saturating_sub(1)),
            _ => 0,
        }
    }

    /// Network evaluations that write a block before the first correction, at least 1 of a usable configuration.
    #[must_use]
    pub fn predictor_steps(&self) -> usize {
        self.steps - self.correction_steps()
    }
}

/// The positions that evaluation `step` draws anew, ascending: as many of `free` (those not pinned, ascending) as one of
/// `predictor_steps` commits, but never more than half, for with none left to know of a correction would be another beginning.
pub(crate) fn choose(
    free: &[usize],
    predictor_steps: usize,
    noise: &Noise,
    step: u64,
    first_position: u64,
) -> Vec<usize> {
    let count = free.len().div_ceil(predictor_steps.max(2));
    CommitSchedule::Spread.select_blindly(free, count, count, noise, step, first_position)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISE: Noise = Noise::new(4, 0);

    #[test]
    fn steps_are_shared_between_writing_and_correcting() {
        let shares = |process, steps, corrections| {
            let config = SamplerConfig {
                process,
                steps,
                corrections,
                ..SamplerConfig::plain()
            };
            (config.predictor_steps(), config.correction_steps())
        };
        assert_eq!(shares(Process::Absorbing, 8, 0), (8, 0));
        assert_eq!(shares(Process::Absorbing, 8, 3), (5, 3));
        assert_eq!(shares(Process::Absorbing, 8, 99), (1, 7), "one step is left to write");
        assert_eq!(shares(Process::Absorbing, 1, 1), (1, 0));
        assert_eq!(shares(Process::Gaussian, 8, 3), (8, 0));
        assert_eq!(shares(Process::SoftAbsorbing, 8, 3), (8, 0));
    }

    #[test]
    fn as_many_are_drawn_anew_as_a_step_commits_and_far_apart() {
        let free: Vec<usize> = (0..16).filter(|position| *position != 5).collect();
        for (steps, count) in [(1, 8), (2, 8), (4, 4), (5, 3), (40, 1)] {
            let chosen = choose(&free, steps, &NOISE, 7, 32);
            assert_eq!(chosen.len(), count, "{steps} steps");
            assert!(chosen.iter().all(|position| free.contains(position)));
            let near = chosen.windows(2).map(|pair| pair[1] - pair[0]).min();
            assert!(near.is_none_or(|near| near >= 15 / count), "{chosen:?}");
        }
        assert_eq!(choose(&[3], 4, &NOISE, 0, 0), [3]);
        assert!(choose(&[], 4, &NOISE, 0, 0).is_empty());
    }
}
