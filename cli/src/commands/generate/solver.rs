//! `--solver`: a solver by its full name, or a family whose order `--order` chooses.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use drdiff_solver::{SolverConfig, SolverName};

/// Accepts and lists the names of [`SolverName`].
pub(super) fn parser() -> impl TypedValueParser<Value = SolverName> {
    let families = [
        PossibleValue::new("dpm++").alias("dpmpp"),
        PossibleValue::new("sde").alias("dpm++-sde"),
    ];
    let exact = SolverConfig::ALL.iter().map(|solver| PossibleValue::new(solver.name()));
    PossibleValuesParser::new(families.into_iter().chain(exact)).try_map(|name| name.parse::<SolverName>())
}
