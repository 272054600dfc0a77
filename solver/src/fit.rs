//! Grids fitted to a model: the points at which a solver's local errors, as they were measured, are least.
//!
//! Every quantity of a deterministic multistep solver is linear in the data predictions. So one walk along a fine path
//! tells the local error of any step between two of its points, if the inner products of all predictions on
//! the way are known: the error is `c^T G c` with the solver's coefficients less those of the fine quadrature. The best grid of so many steps is then
//! found exactly, by dynamic programming over pairs of points. (Optimised steps in this spirit: Xue et al., arXiv 2402.17376; the
//! use of measured inner products is ours.)

use drdiff_diffusion::Vp;

use crate::dpm::{SolverConfig, coefficients};
use crate::error::{Result, require, require_len};

/// What a walk along a fine path measured.
#[derive(Debug, Clone, PartialEq)]
pub struct PathMeasure {
    log_snr: Vec<f64>,
    gram: Vec<f64>,
}

/// A fitted grid.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedGrid {
    /// `ln s` at its points, ascending.
    pub log_snr: Vec<f64>,
    /// Root of the summed squares of the local errors of its steps, in the scale of the latents, where noise has variance 1
    /// before the first step.
    pub error: f64,
}

impl PathMeasure {
    /// From the points of the path (`ln s`, ascending, n of them) and the inner products of the data predictions at them,
    /// `[n * n]`, averaged over positions.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] or [`crate::Error::OutOfRange`] when these are no such numbers.
    pub fn new(log_snr: Vec<f64>, gram: Vec<f64>) -> Result<Self> {
        require_len("inner products", gram.len(), log_snr.len() * log_snr.len())?;
        require(
            log_snr.len() >= 2,
            "points of the path",
            log_snr.len() as f64,
            "at least 2",
        )?;
        for pair in log_snr.windows(2) {
            require(pair[1] > pair[0], "ln s of the path", pair[1], "ascending")?;
        }
        let broken = gram.iter().find(|x| !x.is_finite());
        broken.map_or(Ok(()), |x| require(false, "inner product", *x, "finite"))?;
        Ok(Self { log_snr, gram })
    }

    /// Squared local error of the step from point `from` to point `to`, `before` being the point of the step before it.
    fn squared_error(&self, solver: SolverConfig, before: Option<usize>, from: usize, to: usize) -> f64 {
        let lambda = |point: usize| 0.5 * self.log_snr[point];
        let earlier: Vec<f64> = before.map(lambda).into_iter().collect();
        let data = coefficients(solver, lambda(from), lambda(to), &earlier, 2).data;
        let mut c = vec![0.0; self.log_snr.len()];
        c[from] = data[0];
        if let Some(before) = before {
            c[before] += data[1];
        }
        // z / sigma gains the integral of the prediction over r = sqrt(s); between fine points by the trapezoid rule.
        let sigma = Vp::from_lambda(lambda(to)).sigma;
        for point in from..to {
            let half = 0.5 * sigma * (lambda(point + 1).exp() - lambda(point).exp());
            c[point] -= half;
            c[point + 1] -= half;
        }
        let first = before.unwrap_or(from);
        let mut sum = 0.0;
        for i in first..=to {
            let row = &self.gram[i * self.log_snr.len()..];
            sum += c[i] * (first..=to).map(|j| row[j] * c[j]).sum::<f64>();
        }
        sum.max(0.0)
    }

    /// The error of a grid through some points of the path (ascending indices, both ends included), as [`FittedGrid::error`].
    #[must_use]
    pub fn error_of(&self, points: &[usize], solver: SolverConfig) -> f64 {
        let before = std::iter::once(None).chain(points.iter().copied().map(Some));
        let steps = points.windows(2).zip(before);
        let errors = steps.map(|(step, before)| self.squared_error(solver, before, step[0], step[1]));
        errors.sum::<f64>().sqrt()
    }

    /// The points of the path nearest to these `ln s`, without repetition.
    #[must_use]
    pub fn nearest(&self, log_snrs: &[f64]) -> Vec<usize> {
        let distance = |point: usize, log_snr: f64| (self.log_snr[point] - log_snr).abs();
        let nearest = |log_snr: &f64| {
            let points = 0..self.log_snr.len();
            points
                .min_by(|a, b| distance(*a, *log_snr).total_cmp(&distance(*b, *log_snr)))
                .unwrap_or(0)
        };
        let mut points: Vec<usize> = log_snrs.iter().map(nearest).collect();
        points.dedup();
        points
    }

    /// The grid of `steps` steps of a deterministic solver from the first point to the last whose errors are least.
    /// Solvers of order 3 are fitted as those of order 2.
    ///
    /// # Errors
    /// [`crate::Error::OutOfRange`] for a stochastic solver, or without that many points.
    pub fn fit(&self, steps: usize, solver: SolverConfig) -> Result<FittedGrid> {
        let n = self.log_snr.len();
        let deterministic = "1 to 3 of a solver without noise";
        require(
            !solver.is_stochastic(),
            "order of the solver",
            solver.order() as f64,
            deterministic,
        )?;
        let possible = "at least 1 and fewer than the points measured";
        require((1..n).contains(&steps), "steps of a grid", steps as f64, possible)?;
        // best[a][b]: least error of a grid whose last step leads from point a to point b, and the point before a.
        let mut best = vec![vec![(f64::INFINITY, usize::MAX); n]; n];
        for (to, cell) in best[0].iter_mut().enumerate().skip(1) {
            *cell = (self.squared_error(solver, None, 0, to), usize::MAX);
        }
        let mut layers = vec![best];
        for step in 1..steps {
            let last = &layers[step - 1];
            let mut next = vec![vec![(f64::INFINITY, usize::MAX); n]; n];
            for (from, cells) in next.iter_mut().enumerate().skip(step) {
                for (to, cell) in cells.iter_mut().enumerate().skip(from + 1) {
                    *cell = self.extend(last, (from, to), solver);
                }
            }
            layers.push(next);
        }
        Ok(self.trace(&layers))
    }

    /// The least error of a grid whose last step leads from point `from` to point `to`, and the point before `from`.
    fn extend(&self, last: &[Vec<(f64, usize)>], (from, to): (usize, usize), solver: SolverConfig) -> (f64, usize) {
        let mut best = (f64::INFINITY, usize::MAX);
        for (before, cells) in last.iter().enumerate().take(from) {
            let so_far = cells[from].0;
            if so_far < best.0 {
                let error = so_far + self.squared_error(solver, Some(before), from, to);
                if error < best.0 {
                    best = (error, before);
                }
            }
        }
        best
    }

    /// Walks back from the best way to the last point.
    fn trace(&self, layers: &[Vec<Vec<(f64, usize)>>]) -> FittedGrid {
        let end = self.log_snr.len() - 1;
        let last = &layers[layers.len() - 1];
        let mut from = (0..end)
            .min_by(|a, b| last[*a][end].0.total_cmp(&last[*b][end].0))
            .unwrap_or(0);
        let error = last[from][end].0.sqrt();
        let (mut points, mut to) = (vec![end], end);
        for layer in layers.iter().rev() {
            points.push(from);
            (to, from) = (from, layer[from][to].1);
        }
        points.reverse();
        FittedGrid {
            log_snr: points.into_iter().map(|point| self.log_snr[point]).collect(),
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTS: usize = 14;

    /// Predictions that turn from one vector to another around `ln s = 1`.
    fn measure() -> PathMeasure {
        let log_snr: Vec<f64> = (0..POINTS)
            .map(|i| -6.0 + 12.0 * i as f64 / (POINTS - 1) as f64)
            .collect();
        let x = |l: f64| {
            let share = 1.0 / (1.0 + (-2.0 * (l - 1.0)).exp());
            [1.0 - share, share, 0.3]
        };
        let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let gram = log_snr
            .iter()
            .flat_map(|a| log_snr.iter().map(move |b| dot(x(*a), x(*b))))
            .collect();
        PathMeasure::new(log_snr, gram).unwrap()
    }

    /// All ascending choices of `steps - 1` inner points.
    fn all(from: usize, steps: usize) -> Vec<Vec<usize>> {
        if steps == 1 {
            return vec![vec![POINTS - 1]];
        }
        let inner = from + 1..POINTS - 1;
        let with = |point: usize| {
            let rest = all(point, steps - 1).into_iter();
            rest.map(move |rest| [vec![point], rest].concat())
        };
        inner.flat_map(with).collect()
    }

    #[test]
    fn the_fitted_grid_is_the_best_of_all() {
        let measure = measure();
        for solver in [SolverConfig::Ddim, SolverConfig::Dpmpp2m] {
            for steps in 1..=4 {
                let ways = all(0, steps).into_iter().map(|way| [vec![0], way].concat());
                let best = ways
                    .map(|way| measure.error_of(&way, solver))
                    .fold(f64::INFINITY, f64::min);
                let fitted = measure.fit(steps, solver).unwrap();
                assert!(
                    (fitted.error - best).abs() < 1e-12,
                    "{solver} {steps}: {} {best}",
                    fitted.error
                );
                let points = measure.nearest(&fitted.log_snr);
                assert_eq!(points.len(), steps + 1);
                assert!((measure.error_of(&points, solver) - best).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn points_gather_where_the_prediction_turns() {
        let fitted = measure().fit(5, SolverConfig::Ddim).unwrap();
        let near = fitted.log_snr.iter().filter(|l| (-1.5..4.0).contains(*l)).count();
        assert!(near >= 3, "{:?}", fitted.log_snr);
        let even = measure().error_of(&[0, 3, 5, 8, 10, 13], SolverConfig::Ddim);
        assert!(fitted.error < even, "{} {even}", fitted.error);
    }

    #[test]
    fn a_prediction_that_never_changes_has_no_error_on_a_fine_path() {
        let log_snr: Vec<f64> = (0..9).map(|i| -4.0 + f64::from(i)).collect();
        let measure = PathMeasure::new(log_snr, vec![1.0; 81]).unwrap();
        for steps in 1..=8 {
            assert!(measure.fit(steps, SolverConfig::Dpmpp2m).unwrap().error < 1e-7);
        }
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let measure = measure();
        assert!(measure.fit(0, SolverConfig::Ddim).is_err());
        assert!(measure.fit(POINTS, SolverConfig::Ddim).is_err());
        assert!(measure.fit(2, SolverConfig::Sde2m).is_err());
        assert!(PathMeasure::new(vec![0.0, 1.0], vec![0.0; 3]).is_err());
        assert!(PathMeasure::new(vec![1.0, 0.0], vec![0.0; 4]).is_err());
    }
}
