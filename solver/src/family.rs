//! Solvers as people ask for them: by full name, or as a family and an order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::dpm::SolverConfig;
use crate::error::{Error, Result, require};

/// A solver, or a family of which an order is still to be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SolverName {
    /// DPM-Solver++ of some order.
    Dpmpp,
    /// Its stochastic forms.
    Sde,
    /// One solver, whose order is fixed.
    Exact(SolverConfig),
}

impl SolverName {
    /// The families, each by the name that is shown and another one that is understood.
    pub const FAMILIES: [[&'static str; 2]; 2] = [["dpm++", "dpmpp"], ["sde", "dpm++-sde"]];

    /// The family of a solver.
    #[must_use]
    pub fn family_of(solver: SolverConfig) -> Self {
        match solver.is_stochastic() {
            true => Self::Sde,
            false => Self::Dpmpp,
        }
    }

    /// The solver of this name and order. A family without an order is of the second, which is best in few steps.
    fn at(self, order: Option<usize>) -> Result<SolverConfig> {
        if let Some(order) = order {
            require((1..=3).contains(&order), "order", order as f64, "1, 2 or 3")?;
        }
        match (self, order) {
            (Self::Exact(solver), None) => Ok(solver),
            (Self::Exact(solver), Some(order)) if order == solver.order() => Ok(solver),
            (Self::Exact(solver), Some(_)) => Err(Error::FixedOrder {
                solver: solver.name(),
                order: solver.order(),
            }),
            (Self::Dpmpp, Some(1)) => Ok(SolverConfig::Ddim),
            (Self::Dpmpp, Some(3)) => Ok(SolverConfig::Dpmpp3m),
            (Self::Dpmpp, _) => Ok(SolverConfig::Dpmpp2m),
            (Self::Sde, Some(1)) => Ok(SolverConfig::Sde1),
            (Self::Sde, Some(3)) => Ok(SolverConfig::Sde3m),
            (Self::Sde, _) => Ok(SolverConfig::Sde2m),
        }
    }
}

impl FromStr for SolverName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let [dpmpp, sde] = Self::FAMILIES;
        if dpmpp.contains(&name) {
            Ok(Self::Dpmpp)
        } else if sde.contains(&name) {
            Ok(Self::Sde)
        } else {
            name.parse().map(Self::Exact)
        }
    }
}

impl fmt::Display for SolverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Dpmpp => Self::FAMILIES[0][0],
            Self::Sde => Self::FAMILIES[1][0],
            Self::Exact(solver) => solver.name(),
        })
    }
}

impl TryFrom<String> for SolverName {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<SolverName> for String {
    fn from(name: SolverName) -> Self {
        name.to_string()
    }
}

/// The solver that was asked for; `default` if nothing was said. An order alone keeps the default's family.
///
/// # Errors
/// If there is no solver of that name and order.
pub fn choose_solver(name: Option<SolverName>, order: Option<usize>, default: SolverConfig) -> Result<SolverConfig> {
    match (name, order) {
        (None, None) => Ok(default),
        (None, order) => SolverName::family_of(default).at(order),
        (Some(name), order) => name.at(order),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_choose_within_a_family() {
        let name = |name: &str, order| {
            let name = (!name.is_empty()).then(|| name.parse().unwrap());
            choose_solver(name, order, SolverConfig::Dpmpp2m).map_or_else(|e| e.to_string(), |s| s.to_string())
        };
        assert_eq!(name("", None), "dpmpp-2m");
        assert_eq!(name("", Some(3)), "dpmpp-3m");
        assert_eq!(name("sde", Some(1)), "sde-1");
        assert_eq!(name("dpmpp", None), "dpmpp-2m");
        assert!(name("ddim", Some(2)).contains("ddim is of order 1"));
        assert!(name("dpm++", Some(4)).contains("order is 4"));
    }

    #[test]
    fn names_round_trip() {
        for name in ["dpm++", "sde", "ddim", "dpmpp-3m"] {
            assert_eq!(name.parse::<SolverName>().unwrap().to_string(), name);
        }
    }
}
