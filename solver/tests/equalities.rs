//! The solvers under the names that other fields gave them.

use drdiff_diffusion::Vp;
use drdiff_solver::SolverConfig;
use drdiff_solver::dpm::coefficients;

const STEPS: [(f64, f64); 4] = [(-4.0, -3.1), (-0.5, 0.2), (0.0, 1e-5), (1.0, 3.5)];
const Z: f64 = 0.83;
const X: f64 = -0.41;

#[test]
fn order_1_is_ddim() {
    // DDIM (arXiv 2010.02502, equation 12 with eta 0): re-noise the data prediction with the implied noise.
    for (from, to) in STEPS {
        let (s, t) = (Vp::from_lambda(from), Vp::from_lambda(to));
        let implied = (Z - s.alpha * X) / s.sigma;
        let ddim = t.alpha * X + t.sigma * implied;
        let c = coefficients(SolverConfig::Ddim, from, to, &[], 3);
        assert!((c.state * Z + c.data[0] * X - ddim).abs() < 1e-14);
    }
}

#[test]
fn order_1_is_the_euler_step_of_edm() {
    // EDM (arXiv 2206.00364, algorithm 1): x = z / alpha with noise scale sigma / alpha, dx/dscale = (x - D) / scale.
    for (from, to) in STEPS {
        let (s, t) = (Vp::from_lambda(from), Vp::from_lambda(to));
        let (scale, next) = (s.sigma / s.alpha, t.sigma / t.alpha);
        let x = Z / s.alpha;
        let euler = x + (next - scale) * (x - X) / scale;
        let c = coefficients(SolverConfig::Ddim, from, to, &[], 3);
        assert!((c.state * Z + c.data[0] * X - t.alpha * euler).abs() < 1e-12);
    }
}

#[test]
fn sde_of_order_1_is_ancestral_sampling() {
    // VDM (arXiv 2107.00630): q(z_t | z_s, x) in terms of alpha_{s|t} and sigma_{s|t}.
    for (from, to) in STEPS {
        let (s, t) = (Vp::from_lambda(from), Vp::from_lambda(to));
        let ratio = s.alpha / t.alpha;
        let bridge = s.sigma.powi(2) - ratio.powi(2) * t.sigma.powi(2);
        let mean = ratio * (t.sigma / s.sigma).powi(2) * Z + t.alpha * bridge / s.sigma.powi(2) * X;
        let deviation = bridge.sqrt() * t.sigma / s.sigma;
        let c = coefficients(SolverConfig::Sde1, from, to, &[], 3);
        assert!((c.state * Z + c.data[0] * X - mean).abs() < 1e-13);
        assert!((c.noise - deviation).abs() < 1e-9, "{} {deviation}", c.noise);
    }
}
