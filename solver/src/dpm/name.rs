//! Solvers as users name them: one solver by its full name, or a family and an order.

use serde::{Deserialize, Serialize};

use super::SolverConfig;
use crate::error::{Error, Result};

/// What may stand where a solver is asked for.
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
    /// The names of the families; the others are those of [`SolverConfig::ALL`].
    pub const FAMILIES: &'static [&'static str] = &["dpm++", "sde"];

    /// The family that `solver` belongs to.
    #[must_use]
    pub fn family(solver: SolverConfig) -> Self {
        if solver.is_stochastic() { Self::Sde } else { Self::Dpmpp }
    }

    /// The solver of this name and order. A family without an order is of the second, which is best in few steps.
    ///
    /// # Errors
    /// [`Error::Order`] when there is no such solver.
    pub fn at(self, order: Option<usize>) -> Result<SolverConfig> {
        let wrong = |order, has: String| Err(Error::Order { order, has });
        match (self, order) {
            (Self::Exact(solver), None) => Ok(solver),
            (Self::Exact(solver), Some(order)) if order == solver.order() => Ok(solver),
            (Self::Exact(solver), Some(order)) => wrong(
                order,
                format!(
                    "{solver} is of order {}; leave the order out, or choose the family dpm++ or sde",
                    solver.order()
                ),
            ),
            (Self::Dpmpp, Some(1)) => Ok(SolverConfig::Ddim),
            (Self::Dpmpp, None | Some(2)) => Ok(SolverConfig::Dpmpp2m),
            (Self::Dpmpp, Some(3)) => Ok(SolverConfig::Dpmpp3m),
            (Self::Sde, Some(1)) => Ok(SolverConfig::Sde1),
            (Self::Sde, None | Some(2)) => Ok(SolverConfig::Sde2m),
            (Self::Sde, Some(3)) => Ok(SolverConfig::Sde3m),
            (_, Some(order)) => wrong(order, "solvers have the orders 1, 2 and 3".to_owned()),
        }
    }

    /// The solver that was asked for; `default` if nothing was said. An order alone keeps the default's family.
    ///
    /// # Errors
    /// As [`SolverName::at`].
    pub fn choose(name: Option<Self>, order: Option<usize>, default: SolverConfig) -> Result<SolverConfig> {
        match (name, order) {
            (None, None) => Ok(default),
            (None, order) => Self::family(default).at(order),
            (Some(name), order) => name.at(order),
        }
    }
}

impl std::str::FromStr for SolverName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "dpm++" | "dpmpp" => Ok(Self::Dpmpp),
            "sde" | "dpm++-sde" => Ok(Self::Sde),
            exact => exact.parse().map(Self::Exact).map_err(|_| {
                let exact = SolverConfig::ALL.iter().map(|solver| solver.name());
                let known: Vec<&str> = Self::FAMILIES.iter().copied().chain(exact).collect();
                Error::UnknownName {
                    kind: "solver",
                    name: name.to_owned(),
                    known: known.join(", "),
                }
            }),
        }
    }
}

impl std::fmt::Display for SolverName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dpmpp => f.pad("dpm++"),
            Self::Sde => f.pad("sde"),
            Self::Exact(solver) => solver.fmt(f),
        }
    }
}

impl From<SolverName> for String {
    fn from(name: SolverName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for SolverName {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_choose_within_a_family() {
        let default = SolverConfig::Dpmpp2m;
        let name = |name: Option<&str>, order| {
            let name = name.map(|name| name.parse().unwrap());
            SolverName::choose(name, order, default)
                .map(SolverConfig::name)
                .map_err(|e| e.to_string())
        };
        assert_eq!(name(None, None), Ok("dpmpp-2m"));
        assert_eq!(name(None, Some(3)), Ok("dpmpp-3m"));
        assert_eq!(name(Some("sde"), Some(1)), Ok("sde-1"));
        assert_eq!(name(Some("dpmpp-2m-heun"), Some(2)), Ok("dpmpp-2m-heun"));
        assert!(name(Some("ddim"), Some(2)).unwrap_err().contains("order 1"));
        assert!(name(Some("dpm++"), Some(4)).is_err());
    }

    #[test]
    fn names_round_trip() {
        for name in ["dpm++", "sde", "ddim", "sde-2m-heun"] {
            assert_eq!(name.parse::<SolverName>().unwrap().to_string(), name);
        }
        assert!("euler".parse::<SolverName>().unwrap_err().to_string().contains("dpm++"));
    }
}
