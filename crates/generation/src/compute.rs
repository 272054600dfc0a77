//! How much of the routed experts runs for a text.

use std::fmt;
use std::ops::AddAssign;
use std::str::FromStr;

use drdiff_routing::{RouterKind, RoutingConfig};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::{Error, Result};

/// [`Compute::Auto`] chooses in steps of this size, so that rounding in another batch hardly ever changes a choice.
const STEPS: f64 = 16.0;

/// Share of the routed experts' full compute that a text may spend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Compute {
    /// This share, above 0 and at most 1.
    Share(f64),
    /// As much of the range that the network was trained at as each step is hard: by the mean entropy of the last
    /// prediction of the block's open positions. A block begins at the upper end, which it also has from half the largest
    /// possible entropy on.
    Auto,
}

impl Default for Compute {
    fn default() -> Self {
        Self::Share(1.0)
    }
}

impl Serialize for Compute {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Share(share) => to.serialize_f64(*share),
            Self::Auto => to.serialize_str("auto"),
        }
    }
}

impl<'de> Deserialize<'de> for Compute {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        from.deserialize_any(Written)
    }
}

/// Reads a share as a number, or `auto`.
struct Written;

impl Visitor<'_> for Written {
    type Value = Compute;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or \"auto\",")
    }

    fn visit_f64<E: de::Error>(self, share: f64) -> std::result::Result<Compute, E> {
        Ok(Compute::Share(share))
    }

    fn visit_u64<E: de::Error>(self, share: u64) -> std::result::Result<Compute, E> {
        Ok(Compute::Share(share as f64))
    }

    fn visit_i64<E: de::Error>(self, share: i64) -> std::result::Result<Compute, E> {
        Ok(Compute::Share(share as f64))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> std::result::Result<Compute, E> {
        name.parse().map_err(E::custom)
    }
}

impl FromStr for Compute {
    type Err = String;

    fn from_str(written: &str) -> std::result::Result<Self, String> {
        match written {
            "auto" => Ok(Self::Auto),
            share => share.parse().map(Self::Share).map_err(|_| {
                format!("`{share}` is no share of the compute; give a number above 0 and at most 1, or auto")
            }),
        }
    }
}

impl fmt::Display for Compute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => share.fmt(f),
            Self::Auto => f.write_str("auto"),
        }
    }
}

impl Compute {
    /// Whether everything runs, as it does in every network without routed experts.
    #[must_use]
    pub fn is_full(&self) -> bool {
        *self == Self::default()
    }

    /// Checks that it makes sense, whatever the network.
    ///
    /// # Errors
    /// [`Error::Compute`] if it does not.
    pub fn validate(self) -> Result<()> {
        match self {
            Self::Share(share) if !(share > 0.0 && share <= 1.0) => Err(Error::Compute(format!(
                "`compute` is {share}; it is a share above 0 and at most 1, or auto"
            ))),
            _ => Ok(()),
        }
    }

    /// Checks that a network can spend this.
    ///
    /// # Errors
    /// [`Error::Compute`] if it makes no sense or the network has no routed experts.
    pub fn check(self, routing: &RoutingConfig) -> Result<()> {
        self.validate()?;
        if !self.is_full() && routing.kind == RouterKind::Dense {
            return Err(Error::Compute(format!(
                "`compute` is {self}, but this model has no routed experts and runs whole for every token; leave it out, or \
                 choose fewer steps or a smaller block"
            )));
        }
        Ok(())
    }

    /// The share for a step of this difficulty in `[0, 1]`.
    pub(crate) fn share(self, difficulty: f64, routing: &RoutingConfig) -> f64 {
        match self {
            Self::Share(share) => share,
            Self::Auto => routing.budget.at((difficulty * STEPS).ceil() / STEPS),
        }
    }
}

/// How hard a position is that was predicted with this entropy, a share of the largest possible: all the same from half of
/// it on.
pub(crate) fn difficulty(entropy: f32) -> f64 {
    (2.0 * f64::from(entropy)).min(1.0)
}

/// What a pass cost one request.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PassCompute {
    /// Share of the routed experts' full compute that the block could spend.
    pub share: f64,
    /// Floating-point operations of this request's rows: linear maps, routed experts, attention and retrieval.
    pub flops: u64,
    /// Those of scoring landmarks, which alone grow with the text; 0 for a model that does not retrieve.
    pub scoring_flops: u64,
    /// Those of the feed-forward half, layer by layer.
    pub feed_forward: Vec<u64>,
    /// How often an expert ran for a row, layer by layer.
    pub taken: Vec<u64>,
    /// Clean rows, which enter the cache and have no routed experts.
    pub clean: usize,
    /// Rows of the block that had a token already, and no routed experts.
    pub settled: usize,
    /// Rows of the block without a token.
    pub open: usize,
    /// Experts of each position of the block, over all layers; empty unless the engine was asked for them.
    #[serde(skip)]
    pub experts: Vec<u32>,
}

impl PassCompute {
    /// Adds what another view of the same text cost in the pass.
    pub(crate) fn add(&mut self, view: Self) {
        self.share = view.share;
        self.flops += view.flops;
        self.scoring_flops += view.scoring_flops;
        add(&mut self.feed_forward, &view.feed_forward);
        add(&mut self.taken, &view.taken);
        add(&mut self.experts, &view.experts);
        self.clean += view.clean;
        self.settled += view.settled;
        self.open += view.open;
    }
}

/// Adds numbers one by one; those that are not there yet count as 0.
pub(crate) fn add<T: Copy + Default + AddAssign>(into: &mut Vec<T>, new: &[T]) {
    into.resize(into.len().max(new.len()), T::default());
    into.iter_mut().zip(new).for_each(|(sum, new)| *sum += *new);
}

/// What the feed-forward halves cost a text, over all passes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RoutedCompute {
    /// Floating-point operations, layer by layer.
    pub feed_forward: Vec<u64>,
    /// How often an expert ran for a row, layer by layer.
    pub taken: Vec<u64>,
    /// Clean rows, which entered the cache without routed experts.
    pub clean: usize,
    /// Rows of blocks that had a token already, and no routed experts.
    pub settled: usize,
    /// Rows of blocks without a token.
    pub open: usize,
}

impl RoutedCompute {
    /// Adds a pass.
    pub fn add(&mut self, pass: &PassCompute) {
        add(&mut self.feed_forward, &pass.feed_forward);
        add(&mut self.taken, &pass.taken);
        self.clean += pass.clean;
        self.settled += pass.settled;
        self.open += pass.open;
    }
}

#[cfg(test)]
mod tests {
    use drdiff_kernels::entropy_shares;

    use super::*;

    #[test]
    fn shares_are_written_as_numbers_or_by_name() {
        for (written, compute) in [("0.25", Compute::Share(0.25)), ("\"auto\"", Compute::Auto)] {
            assert_eq!(serde_json::from_str::<Compute>(written).unwrap(), compute);
            assert_eq!(serde_json::to_string(&compute).unwrap(), written);
            assert_eq!(compute.to_string().parse(), Ok(compute));
        }
        assert!("half".parse::<Compute>().unwrap_err().contains("or auto"));
        assert!(Compute::Share(0.0).validate().is_err() && Compute::Share(1.5).validate().is_err());
    }

    #[test]
    fn what_is_hard_gets_more() {
        let sure: Vec<f32> = (0..100).map(|id| if id == 3 { 50.0 } else { 0.0 }).collect();
        // Ten of a hundred tokens: half of the largest entropy.
        let ten: Vec<f32> = (0..100).map(|id| if id < 10 { 50.0 } else { 0.0 }).collect();
        let even = vec![1.0; 100];
        let got: Vec<f64> = entropy_shares(&[sure, ten, even].concat(), 100)
            .into_iter()
            .map(difficulty)
            .collect();
        assert!(got[0] < 1e-9 && (got[1] - 1.0).abs() < 1e-6 && got[2] == 1.0, "{got:?}");
        let mut routing = RoutingConfig::default();
        (routing.budget.min, routing.budget.max) = (0.25, 0.75);
        assert_eq!(Compute::Auto.share(1.0, &routing), 0.75);
        assert_eq!(Compute::Auto.share(0.0, &routing), 0.25);
        assert_eq!(Compute::Auto.share(0.49, &routing), 0.5, "in sixteenths");
        assert_eq!(Compute::Share(0.4).share(1.0, &routing), 0.4);
    }
}
