//! Soft lessons: the levels along which the teacher moves evidence, and what its predictions count for.
//!
//! With `r = sqrt(s)` the first-order data-prediction solver (DDIM, DPM-Solver++ of order 1) reads `y' / r' = y / r + (r' - r) x_hat`
//! in terms of evidence `y = (alpha / sigma^2) z`: a step adds the prediction, weighed by what `r` gained. So the one step that leads to where
//! several did uses the prediction `sum_j (r_{j+1} - r_j) x_hat_j / (r_m - r_0)`, and the target of progressive distillation (Salimans and Ho,
//! arXiv 2202.00512, appendix G) is a mixture of the teacher's distributions with these weights.

use drdiff_diffusion::{Levels, NoiseSchedule, ScheduleConfig, Vp};

/// The teacher's way through one batch of soft positions. Every text position is soft and open.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path {
    /// What leads from each pass to the next.
    pub(super) moves: Vec<Move>,
    /// What the prediction of each pass counts for, by position; `None` for nothing.
    pub(super) shares: Vec<Option<Vec<f32>>>,
    /// Levels after each move, for networks that read the mean noise.
    pub(super) levels: Vec<Levels>,
}

/// `y' = keep y + gain x_hat`, position by position.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Move {
    pub(super) keep: Vec<f32>,
    pub(super) gain: Vec<f32>,
}

impl Path {
    /// From `levels` down the time of `schedule` by `span` (0 is the text) in `passes` equal steps; the target is
    /// the prediction whose one step leads as far.
    pub(super) fn solver(levels: &Levels, schedule: &ScheduleConfig, span: f64, passes: usize) -> Self {
        let time = |snr: &f32| schedule.time_of_alpha(Vp::from_snr(f64::from(*snr)).alpha);
        let times: Vec<f64> = levels.snr.iter().map(time).collect();
        let after = |pass: usize| -> Vec<f64> {
            let done = span * pass as f64 / passes as f64;
            let start = levels.snr.iter().zip(&times);
            start
                .map(|(snr, time)| root(*snr, schedule, time - done, pass))
                .collect()
        };
        let roots: Vec<Vec<f64>> = (0..=passes).map(after).collect();
        let share = |pass: usize, at: usize| {
            let whole = roots[passes][at] - roots[0][at];
            // At the end of the path no step is left, and all predictions are of the same state.
            let share = (roots[pass + 1][at] - roots[pass][at]) / whole;
            if whole > 0.0 { share } else { (passes as f64).recip() }
        };
        let shares = (0..passes).map(|pass| Some((0..times.len()).map(|at| share(pass, at) as f32).collect()));
        Self {
            shares: shares.collect(),
            moves: roots[..passes]
                .windows(2)
                .map(|pair| Move::new(&pair[0], &pair[1]))
                .collect(),
            levels: roots[1..passes].iter().map(|roots| at_roots(levels, roots)).collect(),
        }
    }

    /// From `levels` by one step to `next` (`[batch * len]`): the target is the prediction there.
    pub(super) fn consistency(levels: &Levels, next: &Levels) -> Self {
        let roots = |levels: &Levels| -> Vec<f64> { levels.snr.iter().map(|snr| f64::from(*snr).sqrt()).collect() };
        Self {
            moves: vec![Move::new(&roots(levels), &roots(next))],
            shares: vec![None, Some(vec![1.0; levels.snr.len()])],
            levels: vec![next.clone()],
        }
    }
}

impl Move {
    fn new(from: &[f64], to: &[f64]) -> Self {
        let pairs = || from.iter().zip(to);
        Self {
            keep: pairs().map(|(r, next)| (next / r) as f32).collect(),
            gain: pairs().map(|(r, next)| (next * (next - r)) as f32).collect(),
        }
    }
}

/// Square root of the signal-to-noise ratio at `time`, but that of `snr` itself before the first step; it never falls.
fn root(snr: f32, schedule: &ScheduleConfig, time: f64, pass: usize) -> f64 {
    let start = f64::from(snr).sqrt();
    if pass == 0 {
        return start;
    }
    (0.5 * schedule.log_snr(time.max(0.0)).min(30.0)).exp().max(start)
}

fn at_roots(levels: &Levels, roots: &[f64]) -> Levels {
    Levels {
        snr: roots.iter().map(|root| (root * root) as f32).collect(),
        weight: levels.weight.clone(),
    }
}

#[cfg(test)]
mod tests {
    use drdiff_diffusion::{evidence_from_latent, evidence_scale};

    use super::*;

    fn levels(snr: &[f32]) -> Levels {
        Levels {
            snr: snr.to_vec(),
            weight: vec![1.0; snr.len()],
        }
    }

    /// A step of DDIM in the usual notation, `z' = (sigma' / sigma) z + (alpha' - alpha sigma' / sigma) x`.
    fn ddim(z: f64, x: f64, from: f64, to: f64) -> f64 {
        let (from, to) = (Vp::from_snr(from), Vp::from_snr(to));
        let ratio = to.sigma / from.sigma;
        ratio * z + (to.alpha - from.alpha * ratio) * x
    }

    #[test]
    fn moves_are_steps_of_the_deterministic_solver() {
        let (from, to, z, x) = (0.7_f64, 3.1_f64, -0.4, 0.9);
        let step = Move::new(&[from.sqrt()], &[to.sqrt()]);
        let mut y = [0.0];
        evidence_from_latent(&[z], from, &mut y);
        let moved = f64::from(step.keep[0]) * y[0] + f64::from(step.gain[0]) * x;
        let wanted = evidence_scale(to) * ddim(z, x, from, to);
        assert!((moved / wanted - 1.0).abs() < 1e-6, "{moved} {wanted}");
    }

    #[test]
    fn one_step_with_the_target_leads_where_the_teacher_went() {
        let schedule = ScheduleConfig::default();
        let start = levels(&[0.5, 2.0, 40.0]);
        let path = Path::solver(&start, &schedule, 0.25, 3);
        assert_eq!((path.moves.len(), path.shares.len()), (2, 3));
        let predictions = [0.3, -0.8, 0.6];
        for at in 0..3 {
            let share = |pass: usize| f64::from(path.shares[pass].as_ref().unwrap()[at]);
            assert!(((0..3).map(share).sum::<f64>() - 1.0).abs() < 1e-6);
            let x: f64 = (0..3).map(|pass| share(pass) * predictions[pass]).sum();
            let time = schedule.time_of_alpha(Vp::from_snr(f64::from(start.snr[at])).alpha);
            let snr = |part: f64| schedule.log_snr((time - part * 0.25).max(0.0)).min(30.0).exp();
            let (mut z, mut from) = (1.1, f64::from(start.snr[at]));
            for (pass, x) in predictions.iter().enumerate() {
                let to = snr((pass + 1) as f64 / 3.0).max(from);
                z = ddim(z, *x, from, to);
                from = to;
            }
            let once = ddim(1.1, x, f64::from(start.snr[at]), from);
            assert!((once - z).abs() < 1e-5, "{once} {z}");
        }
    }

    #[test]
    fn at_the_end_of_the_path_nothing_moves() {
        let path = Path::solver(&levels(&[1e20]), &ScheduleConfig::default(), 0.5, 2);
        assert_eq!(
            path.moves[0],
            Move {
                keep: vec![1.0],
                gain: vec![0.0]
            }
        );
        assert_eq!(path.shares, [Some(vec![0.5]), Some(vec![0.5])]);
    }

    #[test]
    fn consistency_asks_for_the_next_level_alone() {
        let path = Path::consistency(&levels(&[1.0]), &levels(&[4.0]));
        assert_eq!(
            path.moves,
            [Move {
                keep: vec![2.0],
                gain: vec![2.0]
            }]
        );
        assert_eq!(path.shares, [None, Some(vec![1.0])]);
    }
}
