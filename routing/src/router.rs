//! The decision: which rows go to which expert, and with what weight.

use candle_core::Tensor;
use drdiff_kernels::{Builder, Value};

use crate::expert_choice::ExpertChoice;
use crate::token_choice::TokenChoice;
use crate::{Groups, Result, RouterKind, RoutingConfig};

/// What a router may look at besides the hidden state.
#[derive(Debug, Clone, Copy)]
pub struct RouteContext<'a> {
    /// Groups of the pass's rows.
    pub groups: &'a Groups,
    /// Share of the routed experts' full compute that may be spent, in `[0, 1]`; `None` means all of it.
    pub budget: Option<f64>,
}

impl RouteContext<'_> {
    pub(crate) fn share(&self) -> f64 {
        self.budget.unwrap_or(1.0)
    }
}

/// Rows for each routed expert.
#[derive(Debug, Clone)]
pub struct Routing {
    /// Rows of the pass, `[n]` u32, sorted by expert; a row stands here once for each expert that it has.
    pub rows: Tensor,
    /// How many of them each expert has.
    pub counts: Vec<usize>,
    /// Their weights, `[n, 1]` f32.
    pub gates: Value,
    /// Auxiliary loss (a scalar) that training adds.
    pub aux_loss: Value,
    /// Mean entropy of the softmax over experts as a share of the largest possible, a scalar.
    pub entropy: Tensor,
}

/// Decides how much of a layer runs for each row.
pub trait Router: Send + Sync {
    /// `hidden`: `[rows, width]`, of which the router lets no gradient through; `None` if no expert runs.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn route(&self, hidden: &Value, context: &RouteContext<'_>) -> Result<Option<Routing>>;
}

/// The router of a configuration, or `None` for a dense layer.
///
/// # Errors
/// If a parameter is missing or has another shape.
pub fn router(builder: &Builder, config: &RoutingConfig, width: usize) -> Result<Option<Box<dyn Router>>> {
    Ok(match config.kind {
        RouterKind::Dense => None,
        RouterKind::ExpertChoice => Some(Box::new(ExpertChoice::new(builder, config, width)?)),
        RouterKind::TokenChoice | RouterKind::Threshold => Some(Box::new(TokenChoice::new(builder, config, width)?)),
    })
}
