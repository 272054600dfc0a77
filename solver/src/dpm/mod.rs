//! DPM-Solver++ (Lu et al., arXiv 2211.01095) with coefficients of its own for every position.

mod coefficients;
mod history;
mod step;

pub use coefficients::{Coefficients, SolverConfig, coefficients};
pub use history::History;
pub use step::{Update, step};
