use drdiff_diffusion::Vp;
use serde::{Deserialize, Serialize};

use crate::names::named;

/// The solvers for soft positions. All predict data and are multistep; names in `Display` are those users type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SolverConfig {
    /// Order 1: DDIM (arXiv 2010.02502), which is also the Euler step of EDM (arXiv 2206.00364) in `z / alpha`.
    Ddim,
    /// Order 2, midpoint form (algorithm 2): the default, best below 64 evaluations.
    #[default]
    Dpmpp2m,
    /// The third-order form that the authors' library, `diffusers` and k-diffusion all compute. Its last term lacks a factor
    /// of 2: with `m'' h^2 / 2` for the second divided difference, the exponential integral of the quadratic interpolant has
    /// `2 f3` where the published form has `f3`. So it converges with order 2 and a smaller constant.
    Dpmpp3m,
    /// SDE of order 1: ancestral sampling of VDM (arXiv 2107.00630).
    Sde1,
    /// SDE of order 2, midpoint form: SDE-DPM-Solver++(2M).
    Sde2m,
    /// SDE of order 3, as in k-diffusion's `sample_dpmpp_3m_sde`.
    Sde3m,
}

named!(SolverConfig, "solver", {
    Ddim => "ddim" | "dpmpp-1",
    Dpmpp2m => "dpmpp-2m",
    Dpmpp3m => "dpmpp-3m",
    Sde1 => "sde-1" | "ancestral",
    Sde2m => "sde-2m",
    Sde3m => "sde-3m",
});

impl SolverConfig {
    /// Predictions that a full step uses, 1 to 3.
    #[must_use]
    pub fn order(self) -> usize {
        match self {
            Self::Ddim | Self::Sde1 => 1,
            Self::Dpmpp2m | Self::Sde2m => 2,
            Self::Dpmpp3m | Self::Sde3m => 3,
        }
    }

    /// Whether a step adds noise.
    #[must_use]
    pub fn is_stochastic(self) -> bool {
        matches!(self, Self::Sde1 | Self::Sde2m | Self::Sde3m)
    }
}

/// One step is linear: `z_t = state z_s + sum_j data[j] m_j + noise n`, `m_0` the newest data prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coefficients {
    /// Factor of the state.
    pub state: f64,
    /// Factors of the predictions, newest first; unused ones are 0.
    pub data: [f64; 3],
    /// Factor of fresh standard normal noise; 0 for deterministic solvers.
    pub noise: f64,
}

impl Coefficients {
    /// Leaves the state as it is.
    pub const IDENTITY: Self = Self {
        state: 1.0,
        data: [0.0; 3],
        noise: 0.0,
    };
}

/// Coefficients of a step of one position from half log-SNR `from` to `to >= from`.
///
/// `earlier` are the levels of the predictions before the newest, newest first; as many as the solver's order (at most
/// `max_order`) asks for are used, as long as they rise strictly toward `from`. So first steps, a position that stood
/// still and one that was re-absorbed fall back to the order that their history supports. `to = infinity` gives the
/// newest prediction itself; `from = -infinity` starts from pure noise with order 1.
///
/// With `h = to - from`, `h0`, `h1` the steps before, `r = h0 / h` and so on, order 1 is
/// `z_t = (sigma_t / sigma_s) z_s - alpha_t expm1(-h) m_0`; orders 2 and 3 add divided differences of the predictions.
/// The SDE forms replace `h` by `2h` inside of the phi functions and shrink the state by a further `e^{-h}`.
#[must_use]
pub fn coefficients(solver: SolverConfig, from: f64, to: f64, earlier: &[f64], max_order: usize) -> Coefficients {
    let h = to - from;
    // Equal infinite levels differ by NaN; a position never moves back along its path.
    if h.is_nan() || h <= 0.0 {
        return Coefficients::IDENTITY;
    }
    if to == f64::INFINITY {
        return Coefficients {
            state: 0.0,
            data: [1.0, 0.0, 0.0],
            noise: 0.0,
        };
    }
    let (start, end) = (Vp::from_lambda(from), Vp::from_lambda(to));
    let (width, shrink, noise) = if solver.is_stochastic() {
        (2.0 * h, (-h).exp(), end.sigma * (-(-2.0 * h).exp_m1()).sqrt())
    } else {
        (h, 1.0, 0.0)
    };
    let phi = Phi::new(width);
    let mut data = [-end.alpha * phi.first, 0.0, 0.0];
    let usable = steps_behind(from, earlier);
    match solver.order().min(max_order).min(usable.len_when_finite(h)) {
        2 => {
            // The first steps of the third order take the Taylor form.
            let weight = if solver.order() == 2 {
                -0.5 * phi.first
            } else {
                phi.second
            };
            let difference = end.alpha * weight * h / usable.h0;
            data[0] += difference;
            data[1] -= difference;
        }
        3 => {
            let (r0, r1) = (usable.h0 / h, usable.h1 / h);
            // D0 = (m0 - m1) / r0 and D1' = (m1 - m2) / r1 as rows over (m0, m1, m2).
            let newer = [1.0 / r0, -1.0 / r0, 0.0];
            let older = [0.0, 1.0 / r1, -1.0 / r1];
            for j in 0..3 {
                let second = (newer[j] - older[j]) / (r0 + r1);
                let first = newer[j] + r0 * second;
                data[j] += end.alpha * (phi.second * first - phi.third * second);
            }
        }
        _ => {}
    }
    Coefficients {
        state: end.sigma / start.sigma * shrink,
        data,
        noise,
    }
}

/// `f1 = expm1(-w)`, `f2 = f1 / w + 1`, `f3 = f2 / w - 1/2`.
struct Phi {
    first: f64,
    second: f64,
    third: f64,
}

impl Phi {
    fn new(w: f64) -> Self {
        let first = (-w).exp_m1();
        if w == f64::INFINITY {
            return Self {
                first,
                second: 1.0,
                third: -0.5,
            };
        }
        if w > 0.1 {
            let second = first / w + 1.0;
            return Self {
                first,
                second,
                third: second / w - 0.5,
            };
        }
        // The closed forms cancel for small steps; the series is exact to rounding there.
        let (mut third, mut term) = (0.0, 0.5);
        for k in 3..14 {
            term *= -w / f64::from(k);
            third += term;
        }
        Self {
            first,
            second: w * (third + 0.5),
            third,
        }
    }
}

/// Widths of the two steps before, as far as they are usable.
struct Behind {
    h0: f64,
    h1: f64,
    count: usize,
}

impl Behind {
    /// Highest order that these steps support for a next step of width `h`.
    fn len_when_finite(&self, h: f64) -> usize {
        if h.is_finite() { self.count } else { 1 }
    }
}

fn steps_behind(from: f64, earlier: &[f64]) -> Behind {
    let mut behind = Behind {
        h0: 0.0,
        h1: 0.0,
        count: 1,
    };
    let mut newer = from;
    for (slot, &older) in [&mut behind.h0, &mut behind.h1].into_iter().zip(earlier) {
        let width = newer - older;
        if !(width > 0.0 && width.is_finite()) {
            break;
        }
        *slot = width;
        behind.count += 1;
        newer = older;
    }
    behind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phi_functions_agree_across_their_switch() {
        for w in [0.0999_f64, 0.05, 1e-3, 1e-8] {
            let phi = Phi::new(w);
            let exact =
                w / 2.0 - w * w / 6.0 + w.powi(3) / 24.0 - w.powi(4) / 120.0 + w.powi(5) / 720.0 - w.powi(6) / 5040.0;
            assert!((phi.second - exact).abs() < 1e-9 * w.max(1e-7), "{w}");
        }
        let (below, above) = (Phi::new(0.1 - 1e-12), Phi::new(0.1 + 1e-12));
        assert!((below.second - above.second).abs() < 1e-12 && (below.third - above.third).abs() < 1e-11);
    }

    #[test]
    fn ends_of_the_path() {
        for solver in SolverConfig::ALL.iter().copied() {
            let last = coefficients(solver, 1.0, f64::INFINITY, &[0.5, 0.0], 3);
            assert_eq!(
                last,
                Coefficients {
                    state: 0.0,
                    data: [1.0, 0.0, 0.0],
                    noise: 0.0
                }
            );
            assert_eq!(coefficients(solver, 1.0, 1.0, &[], 3), Coefficients::IDENTITY);
            let first = coefficients(solver, f64::NEG_INFINITY, 0.3, &[], 3);
            let vp = Vp::from_lambda(0.3);
            assert!((first.data[0] - vp.alpha).abs() < 1e-15);
            // All of the noise is kept by the ODE and drawn afresh by the SDE.
            let (kept, fresh) = if solver.is_stochastic() {
                (0.0, vp.sigma)
            } else {
                (vp.sigma, 0.0)
            };
            assert!(
                (first.state - kept).abs() < 1e-15 && (first.noise - fresh).abs() < 1e-15,
                "{solver}"
            );
        }
    }

    #[test]
    fn order_follows_the_usable_history() {
        let full = |earlier: &[f64], max| coefficients(SolverConfig::Dpmpp3m, 0.0, 0.4, earlier, max);
        assert_eq!(full(&[], 3), coefficients(SolverConfig::Ddim, 0.0, 0.4, &[], 3));
        assert_eq!(full(&[-0.4, -0.9], 2), full(&[-0.4], 3));
        assert_eq!(
            full(&[0.7, -0.9], 3),
            full(&[], 3),
            "a re-absorbed position starts over"
        );
        assert_eq!(full(&[-0.4, f64::NAN], 3), full(&[-0.4], 3));
        assert_ne!(full(&[-0.4, -0.9], 3), full(&[-0.4], 3));
    }

    #[test]
    fn constant_predictions_are_solved_exactly_by_every_order() {
        for solver in SolverConfig::ALL.iter().copied() {
            let c = coefficients(solver, -0.3, 0.5, &[-0.8, -1.0], 3);
            let (s, t) = (Vp::from_lambda(-0.3), Vp::from_lambda(0.5));
            let total: f64 = c.data.iter().sum();
            assert!(
                (total - (t.alpha - c.state * s.alpha)).abs() < 1e-14,
                "{solver} keeps the mean"
            );
            let variance = (c.state * s.sigma).powi(2) + c.noise.powi(2);
            assert!(
                (variance - t.sigma.powi(2)).abs() < 1e-14,
                "{solver} keeps the marginal"
            );
        }
    }

    #[test]
    fn names_round_trip() {
        for solver in SolverConfig::ALL.iter().copied() {
            assert_eq!(solver.to_string().parse(), Ok(solver));
        }
        assert_eq!("ancestral".parse(), Ok(SolverConfig::Sde1));
        assert_eq!("dpmpp-1".parse(), Ok(SolverConfig::Ddim));
        let message = "dpm".parse::<SolverConfig>().unwrap_err().to_string();
        assert!(message.contains("dpmpp-2m"), "{message}");
    }
}
