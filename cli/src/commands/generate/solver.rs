//! `--solver` and `--order`: a solver by its full name, or a family and an order.

use anyhow::Result;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use drdiff_solver::SolverConfig;

use crate::exit::usage;

/// What `--solver` may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SolverName {
    /// DPM-Solver++ of some order.
    Dpmpp,
    /// Its stochastic forms.
    Sde,
    /// One solver, whose order is fixed.
    Exact(SolverConfig),
}

impl SolverName {
    pub(super) fn parser() -> impl TypedValueParser<Value = Self> {
        let families = [
            PossibleValue::new("dpm++").alias("dpmpp"),
            PossibleValue::new("sde").alias("dpm++-sde"),
        ];
        let exact = SolverConfig::ALL.iter().map(|solver| PossibleValue::new(solver.name()));
        PossibleValuesParser::new(families.into_iter().chain(exact)).try_map(|name| match name.as_str() {
            "dpm++" | "dpmpp" => Ok(Self::Dpmpp),
            "sde" | "dpm++-sde" => Ok(Self::Sde),
            exact => exact.parse().map(Self::Exact),
        })
    }

    /// The solver of this name and order. A family without an order is of the second, which is best in few steps.
    fn at(self, order: Option<usize>) -> Result<SolverConfig> {
        match (self, order) {
            (Self::Exact(solver), None) => Ok(solver),
            (Self::Exact(solver), Some(order)) if order == solver.order() => Ok(solver),
            (Self::Exact(solver), Some(_)) => Err(usage(format!(
                "--solver {solver} is of order {}; leave --order out, or choose --solver dpm++ or sde",
                solver.order()
            ))),
            (Self::Dpmpp, Some(1)) => Ok(SolverConfig::Ddim),
            (Self::Dpmpp, None | Some(2)) => Ok(SolverConfig::Dpmpp2m),
            (Self::Dpmpp, Some(3)) => Ok(SolverConfig::Dpmpp3m),
            (Self::Sde, Some(1)) => Ok(SolverConfig::Sde1),
            (Self::Sde, None | Some(2)) => Ok(SolverConfig::Sde2m),
            (Self::Sde, Some(3)) => Ok(SolverConfig::Sde3m),
            (_, Some(order)) => Err(usage(format!("--order is {order}; solvers have the orders 1, 2 and 3"))),
        }
    }
}

/// The solver that was asked for; `default` if nothing was said. An order alone keeps the default's family.
pub(super) fn choose(name: Option<SolverName>, order: Option<usize>, default: SolverConfig) -> Result<SolverConfig> {
    let family = if default.is_stochastic() {
        SolverName::Sde
    } else {
        SolverName::Dpmpp
    };
    match (name, order) {
        (None, None) => Ok(default),
        (None, order) => family.at(order),
        (Some(name), order) => name.at(order),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_choose_within_a_family() {
        let default = SolverConfig::Dpmpp2m;
        let name = |name, order| {
            choose(name, order, default)
                .map(SolverConfig::name)
                .map_err(|e| e.to_string())
        };
        assert_eq!(name(None, None), Ok("dpmpp-2m"));
        assert_eq!(name(None, Some(3)), Ok("dpmpp-3m"));
        assert_eq!(name(Some(SolverName::Sde), Some(1)), Ok("sde-1"));
        assert_eq!(
            name(Some(SolverName::Exact(SolverConfig::Dpmpp2mHeun)), Some(2)),
            Ok("dpmpp-2m-heun")
        );
        assert!(
            name(Some(SolverName::Exact(SolverConfig::Ddim)), Some(2))
                .unwrap_err()
                .contains("order 1")
        );
        assert!(name(Some(SolverName::Dpmpp), Some(4)).is_err());
    }
}
