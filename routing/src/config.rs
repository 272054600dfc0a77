//! What a network's routing is made of.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How experts and rows find each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouterKind {
    /// No routed experts.
    #[default]
    Dense,
    /// Experts take their best rows of a group (Zhou et al., arXiv 2202.09368).
    ExpertChoice,
    /// Rows take their best experts (DrDiff, arXiv 2509.02785).
    TokenChoice,
    /// Rows take every expert above a threshold, easy ones none.
    Threshold,
}

/// How the capacity of expert choice follows the noise. All schedules have one mean over signals uniform in `[0, 1]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapacitySchedule {
    /// The same at every level.
    #[default]
    Flat,
    /// More with more signal (the best order for masked text in EC-DLM, arXiv 2604.01622).
    Rising,
    /// More with less signal.
    Falling,
}

/// What a budget below one takes from a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Rows: all experts take part, with fewer rows each.
    #[default]
    Rows,
    /// Experts: the first of them take part, as large a share of them as the budget is. In a small group reading an expert's
    /// weights costs as much as using them, and then only experts that nobody reads save time.
    Experts,
}

/// Shares of the routed experts' full compute that a network has been trained at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { min: 1.0, max: 1.0 }
    }
}

impl Budget {
    /// The share at `u`, which goes from 0 (the least) to 1 (the most).
    #[must_use]
    pub fn at(&self, u: f64) -> f64 {
        self.min + (self.max - self.min) * u
    }
}

/// Routers and routed experts of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoutingConfig {
    /// Which router.
    pub kind: RouterKind,
    /// Routed experts of a layer.
    pub experts: usize,
    /// Hidden width of each of them.
    pub expert_hidden: usize,
    /// First layer with routed experts; the upper half if absent.
    pub first_layer: Option<usize>,
    /// Experts for each open row: the mean of expert choice, the number of token choice.
    pub active: f64,
    /// Capacity by noise level, for expert choice.
    pub schedule: CapacitySchedule,
    /// How far the mean number of experts moves from `active` between one end of the schedule and its middle.
    pub spread: f64,
    /// Share of the softmax above which a row takes an expert, for the threshold.
    pub threshold: f64,
    /// Whether routers also read how undecided the last prediction of a row was, where self-conditioning made one.
    pub entropy: bool,
    /// Weight of the balance loss (Fedus et al., arXiv 2101.03961, equation 4); expert choice needs it only for
    /// groups with less than a row for each expert, and is balanced by construction in others.
    pub balance: f64,
    /// Weight of the z loss (Zoph et al., arXiv 2202.08906, equation 5).
    pub z: f64,
    /// Training draws the share of the full compute anew for every forward pass, evenly between these bounds, so that
    /// one network serves all of them.
    pub budget: Budget,
    /// What a budget takes away. Networks that were trained with one are not made for the other.
    pub cut: Cut,
}

impl Default for RoutingConfig {
    fn default() -> Self {
        Self {
            kind: RouterKind::Dense,
            experts: 0,
            expert_hidden: 0,
            first_layer: None,
            active: 2.0,
            schedule: CapacitySchedule::Flat,
            spread: 1.0,
            threshold: 0.15,
            entropy: false,
            balance: 0.01,
            z: 1e-3,
            budget: Budget::default(),
            cut: Cut::default(),
        }
    }
}

impl RoutingConfig {
    /// Whether `layer` of `layers` has routed experts.
    #[must_use]
    pub fn routes(&self, layer: usize, layers: usize) -> bool {
        self.kind != RouterKind::Dense && layer >= self.first_layer.unwrap_or(layers / 2)
    }

    /// The layers with routed experts, of `layers`.
    pub fn routed_layers(&self, layers: usize) -> impl Iterator<Item = usize> {
        (0..layers).filter(move |layer| self.routes(*layer, layers))
    }

    /// Whether weights for this routing fit the other in a network of `layers`: all routers that read the same have the
    /// same parameters, so kind, capacity and losses may differ.
    #[must_use]
    pub fn fits(&self, other: &Self, layers: usize) -> bool {
        let shapes = |config: &Self| match config.kind {
            RouterKind::Dense => None,
            _ => Some((
                config.experts,
                config.expert_hidden,
                config.first_layer.unwrap_or(layers / 2),
                config.entropy,
            )),
        };
        shapes(self) == shapes(other)
    }

    /// Whether there are routers that read the entropy of the last prediction.
    #[must_use]
    pub fn reads_entropy(&self) -> bool {
        self.entropy && self.kind != RouterKind::Dense
    }

    /// Experts for each open row of a group whose mean signal `alpha^2` is `signal`, on average.
    #[must_use]
    pub fn experts_per_row(&self, signal: f64) -> f64 {
        let moved = self.spread * (2.0 * signal - 1.0);
        match self.schedule {
            CapacitySchedule::Flat => self.active,
            CapacitySchedule::Rising => self.active + moved,
            CapacitySchedule::Falling => self.active - moved,
        }
    }

    /// How many experts, the first ones, take part in a group on this budget: at least one.
    #[must_use]
    pub fn experts_at(&self, budget: f64) -> usize {
        match self.cut {
            Cut::Rows => self.experts,
            // A whole number stays one, whatever its last bit is.
            Cut::Experts => ((self.experts as f64 * budget - 1e-9).ceil() as usize).clamp(1, self.experts),
        }
    }

    /// Checks that a network of `layers` can have this routing.
    ///
    /// # Errors
    /// Names the first setting that makes no sense.
    pub fn validate(&self, layers: usize) -> Result<()> {
        let wrong = |what: String| Err(Error::Config(what));
        if self.kind == RouterKind::Dense {
            return Ok(());
        }
        if self.experts == 0 || self.expert_hidden == 0 {
            return wrong("`routing.experts` and `routing.expert_hidden` need at least 1 each".to_owned());
        }
        if self.first_layer.is_some_and(|first| first >= layers) {
            return wrong(format!("`routing.first_layer` is not below the {layers} layers"));
        }
        let most = self.experts as f64;
        if !(self.active > 0.0 && self.active <= most) {
            return wrong(format!(
                "`routing.active` is {}; it lies above 0 and is at most the {most} experts",
                self.active
            ));
        }
        let Budget { min, max } = self.budget;
        if !(min > 0.0 && min <= max && max <= 1.0) {
            return wrong(format!(
                "`routing.budget` is from {min} to {max}; both are shares above 0 and at most 1, the least first"
            ));
        }
        match self.kind {
            RouterKind::TokenChoice if self.active < 2.0 || self.active.fract() != 0.0 => wrong(format!(
                "`routing.active` is {}; token choice needs a whole number from 2 on, since a softmax over one expert \
                 teaches the router nothing",
                self.active
            )),
            RouterKind::ExpertChoice
                if self.schedule != CapacitySchedule::Flat
                    && !(self.spread >= 0.0 && self.spread <= self.active && self.active + self.spread <= most) =>
            {
                wrong(format!(
                    "`routing.spread` is {}; `active` less or more than it must stay between 0 and the {most} experts",
                    self.spread
                ))
            }
            RouterKind::Threshold if !(self.threshold > 0.0 && self.threshold < 1.0) => wrong(format!(
                "`routing.threshold` is {}; it is a share between 0 and 1",
                self.threshold
            )),
            _ if [self.balance, self.z]
                .iter()
                .any(|weight| !(*weight >= 0.0 && weight.is_finite())) =>
            {
                wrong(format!(
                    "`routing.balance` is {} and `routing.z` is {}; they are finite weights of 0 or more",
                    self.balance, self.z
                ))
            }
            _ => Ok(()),
        }
    }
}
