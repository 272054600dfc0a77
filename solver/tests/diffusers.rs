//! Agreement with `diffusers`' DPMSolverMultistepScheduler, replayed from `golden/diffusers.json`; the script that
//! made it lies beside it.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use drdiff_diffusion::Vp;
use drdiff_noise::Noise;
use drdiff_solver::dpm::{Update, coefficients, step};
use drdiff_solver::{History, SolverConfig};
use serde_json::Value;

const DIM: usize = 2;

fn numbers(value: &Value) -> Vec<f64> {
    // null stands for the infinite level at the end of diffusers' grid.
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap_or(f64::INFINITY))
        .collect()
}

/// Posterior mean over equally likely points.
fn denoise(points: &[Vec<f64>], z: &[f64], vp: Vp) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let log: Vec<f64> = points
        .iter()
        .map(|p| (vp.alpha * dot(z, p) - 0.5 * vp.alpha.powi(2) * dot(p, p)) / vp.sigma.powi(2))
        .collect();
    let top = log.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = log.iter().map(|l| (l - top).exp()).sum();
    (0..DIM)
        .map(|j| {
            points
                .iter()
                .zip(&log)
                .map(|(p, l)| (l - top).exp() / total * p[j])
                .sum()
        })
        .collect()
}

fn solver(run: &Value) -> SolverConfig {
    let name = match (
        run["algorithm"].as_str().unwrap(),
        run["order"].as_u64().unwrap(),
        run["kind"].as_str().unwrap(),
    ) {
        ("dpmsolver++", 1, _) => "dpmpp-1",
        ("dpmsolver++", 2, "midpoint") => "dpmpp-2m",
        ("dpmsolver++", 3, _) => "dpmpp-3m",
        ("sde-dpmsolver++", 1, _) => "sde-1",
        ("sde-dpmsolver++", 2, "midpoint") => "sde-2m",
        other => panic!("no solver for {other:?}"),
    };
    name.parse().unwrap()
}

/// diffusers lowers the order of the last two steps when there are fewer than 15.
fn max_order(k: usize, steps: usize) -> usize {
    if steps < 15 { (steps - k).min(3) } else { 3 }
}

fn assert_close(found: &[f64], expected: &[f64], what: &str) {
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 1e-6, "{what}: {found:?} against {expected:?}");
    }
}

#[test]
fn every_step_agrees() {
    let golden: Value = serde_json::from_str(include_str!("golden/diffusers.json")).unwrap();
    let points: Vec<Vec<f64>> = golden["points"].as_array().unwrap().iter().map(numbers).collect();
    let runs = golden["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 10);
    for run in runs {
        let solver = solver(run);
        let lambdas = numbers(&run["lambdas"]);
        let states: Vec<Vec<f64>> = run["states"].as_array().unwrap().iter().map(numbers).collect();
        let steps = lambdas.len() - 1;
        let mut z = states[0].clone();
        let mut history = History::default();
        let mut rows: Vec<Vec<f64>> = Vec::new();
        for k in 0..steps {
            let vp = Vp::from_lambda(lambdas[k]);
            let data: Vec<f64> = z.chunks(DIM).flat_map(|z| denoise(&points, z, vp)).collect();
            let order = max_order(k, steps);
            if solver.is_stochastic() {
                // diffusers' own noise instead of ours: the coefficients alone.
                let earlier: Vec<f64> = lambdas[..k].iter().rev().take(2).copied().collect();
                let c = coefficients(solver, lambdas[k], lambdas[k + 1], &earlier, order);
                rows.insert(0, data);
                let noise = numbers(&run["noises"][k]);
                for (i, x) in z.iter_mut().enumerate() {
                    *x = c.state * *x + c.noise * noise[i];
                    *x += c.data.iter().zip(&rows).map(|(w, row)| w * row[i]).sum::<f64>();
                }
            } else {
                let positions = z.len() / DIM;
                history.push(&vec![lambdas[k]; positions], &data);
                let to = vec![lambdas[k + 1]; positions];
                let noise = Noise::new(0, 0);
                let update = Update {
                    solver,
                    to: &to,
                    dim: DIM,
                    max_order: order,
                    noise: &noise,
                    step: k as u64,
                    first_position: 0,
                };
                step(&update, &history, &mut z).unwrap();
            }
            assert_close(&z, &states[k + 1], &format!("{solver} step {k} of {steps}"));
        }
    }
}
