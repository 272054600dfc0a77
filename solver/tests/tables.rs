//! Published vectors of the solvers: scalar problems with closed-form denoisers, by every solver.

use drdiff_diffusion::Vp;
use drdiff_solver::SolverConfig::{self, Ddim, Dpmpp2m, Dpmpp3m, Sde1, Sde2m, Sde3m};
use drdiff_solver::dpm::coefficients;

/// Half log-SNRs of the test problems: from -4 to 4, uniform.
fn grid(steps: usize) -> Vec<f64> {
    (0..=steps).map(|k| -4.0 + 8.0 * k as f64 / steps as f64).collect()
}

/// Posterior mean under `N(0.7, 0.3^2)`.
fn gaussian(z: f64, lambda: f64) -> f64 {
    let Vp { alpha, sigma, .. } = Vp::from_lambda(lambda);
    (0.7 * sigma * sigma + 0.09 * alpha * z) / (0.09 * alpha * alpha + sigma * sigma)
}

/// Posterior mean when the data are +1 or -1, equally likely.
fn two_points(z: f64, lambda: f64) -> f64 {
    let Vp { alpha, sigma, .. } = Vp::from_lambda(lambda);
    (alpha * z / (sigma * sigma)).tanh()
}

fn levels_before(grid: &[f64], k: usize) -> Vec<f64> {
    grid[..k].iter().rev().take(2).copied().collect()
}

/// Solves the ODE along `grid`; `exact` gives true states at the first points, for starting values.
fn solve(solver: SolverConfig, data: fn(f64, f64) -> f64, grid: &[f64], start: &[f64]) -> f64 {
    let mut predictions: Vec<f64> = Vec::new();
    let mut z = start[0];
    for (k, pair) in grid.windows(2).enumerate() {
        if let Some(exact) = start.get(k) {
            z = *exact;
        }
        predictions.insert(0, data(z, pair[0]));
        let c = coefficients(solver, pair[0], pair[1], &levels_before(grid, k), 3);
        z = c.state * z + c.data.iter().zip(&predictions).map(|(w, x)| w * x).sum::<f64>();
    }
    z
}

/// Exact solution of the probability-flow ODE for the Gaussian law: the standardised state is constant.
fn gaussian_exact(z: f64, from: f64, to: f64) -> f64 {
    let spread = |vp: Vp| (0.09 * vp.alpha * vp.alpha + vp.sigma * vp.sigma).sqrt();
    let (s, t) = (Vp::from_lambda(from), Vp::from_lambda(to));
    0.7 * t.alpha + spread(t) / spread(s) * (z - 0.7 * s.alpha)
}

/// Agreement to the ten printed decimals.
fn printed(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 0.51e-10,
        "found {found:.12}, printed {expected}"
    );
}

/// Agreement to the two printed significant digits.
fn two_digits(found: f64, expected: f64) {
    let unit = 10f64.powf(expected.abs().log10().floor() - 1.0);
    assert!(
        (found - expected).abs() <= 0.51 * unit,
        "found {found:e}, printed {expected:e}"
    );
}

#[test]
fn twenty_steps_on_the_gaussian_law() {
    printed(gaussian_exact(1.3, -4.0, 4.0), 1.086_750_137_7);
    for (solver, expected) in [
        (Ddim, 1.050_064_197_0),
        (Dpmpp2m, 1.090_209_342_2),
        (Dpmpp3m, 1.088_667_061_8),
    ] {
        printed(solve(solver, gaussian, &grid(20), &[1.3]), expected);
    }
}

#[test]
fn twenty_steps_on_two_points() {
    // The exact value by a fine grid: third order leaves an error far below the printed digits.
    let fine = |n| solve(Dpmpp2m, two_points, &grid(n), &[1.3]);
    let exact = (4.0 * fine(80_000) - fine(40_000)) / 3.0;
    printed(exact, 1.015_667_238_7);
    for (solver, expected) in [
        (Ddim, 1.013_622_855_7),
        (Dpmpp2m, 1.016_212_548_9),
        (Dpmpp3m, 1.015_554_467_9),
    ] {
        printed(solve(solver, two_points, &grid(20), &[1.3]), expected);
    }
}

#[test]
fn error_against_steps() {
    for (solver, errors) in [
        (Ddim, [7.0e-2, 3.7e-2, 1.9e-2, 9.5e-3, 4.8e-3]),
        (Dpmpp2m, [8.7e-3, 3.5e-3, 9.3e-4, 2.3e-4, 5.9e-5]),
        (Dpmpp3m, [1.9e-2, 1.9e-3, 3.7e-4, 8.4e-5, 2.0e-5]),
    ] {
        for (steps, expected) in [10, 20, 40, 80, 160].into_iter().zip(errors) {
            let error = solve(solver, gaussian, &grid(steps), &[1.3]) - gaussian_exact(1.3, -4.0, 4.0);
            two_digits(error.abs(), expected);
        }
    }
}

/// `log2` of the ratio of the errors at `n` and `2n` steps, with exact values at the first `warm` points.
fn slope(solver: SolverConfig, n: usize, warm: usize) -> f64 {
    let error = |n: usize| {
        let grid = grid(n);
        let start: Vec<f64> = grid[..warm].iter().map(|l| gaussian_exact(1.3, -4.0, *l)).collect();
        (solve(solver, gaussian, &grid, &start) - gaussian_exact(1.3, -4.0, 4.0)).abs()
    };
    (error(n) / error(2 * n)).log2()
}

#[test]
fn orders_of_convergence() {
    for (solver, warm, order) in [
        (Ddim, 1, 1.0),
        (Dpmpp2m, 1, 2.0),
        // The published third-order form has slope 2 even from exact values: its last term lacks a factor of 2.
        (Dpmpp3m, 1, 2.0),
        (Dpmpp3m, 3, 2.0),
    ] {
        let found = slope(solver, 1280, warm);
        assert!(
            (found - order).abs() < 0.15,
            "{solver} from {warm} exact values has slope {found}"
        );
    }
}

/// Mean and standard deviation at `lambda = 4` for the Gaussian law: the prediction is linear in z, so z is a row over
/// (1, initial deviation, noise of each step) that the solver maps linearly.
fn propagate(solver: SolverConfig, steps: usize) -> (f64, f64) {
    let grid = grid(steps);
    let start = Vp::from_lambda(-4.0);
    let mut z = vec![0.0; steps + 2];
    z[0] = 0.7 * start.alpha;
    z[1] = (0.09 * start.alpha.powi(2) + start.sigma.powi(2)).sqrt();
    let mut predictions: Vec<Vec<f64>> = Vec::new();
    for (k, pair) in grid.windows(2).enumerate() {
        let offset = gaussian(0.0, pair[0]);
        let gain = gaussian(1.0, pair[0]) - offset;
        let mut row: Vec<f64> = z.iter().map(|x| gain * x).collect();
        row[0] += offset;
        predictions.insert(0, row);
        let c = coefficients(solver, pair[0], pair[1], &levels_before(&grid, k), 3);
        z.iter_mut().for_each(|x| *x *= c.state);
        for (w, row) in c.data.iter().zip(&predictions) {
            z.iter_mut().zip(row).for_each(|(x, r)| *x += w * r);
        }
        z[k + 2] += c.noise;
    }
    (z[0], z[1..].iter().map(|x| x * x).sum::<f64>().sqrt())
}

#[test]
fn standard_deviation_of_the_stochastic_solvers() {
    let end = Vp::from_lambda(4.0);
    let exact = (0.09 * end.alpha.powi(2) + end.sigma.powi(2)).sqrt();
    assert!((exact - 0.300_508_2).abs() < 0.51e-7);
    for (solver, errors) in [
        (Sde1, [-8.8e-2, -5.1e-2, -2.8e-2, -1.4e-2, -7.3e-3, -3.7e-3]),
        (Sde2m, [7.7e-3, 6.4e-3, 1.9e-3, 4.8e-4, 1.2e-4, 3.0e-5]),
        (Sde3m, [7.2e-2, 7.9e-3, 1.5e-3, 3.5e-4, 8.4e-5, 2.1e-5]),
    ] {
        for (steps, expected) in [10, 20, 40, 80, 160, 320].into_iter().zip(errors) {
            let (mean, deviation) = propagate(solver, steps);
            assert!((mean - 0.7 * end.alpha).abs() < 1e-12, "{solver} keeps the mean");
            two_digits(deviation - exact, expected);
        }
    }
}
