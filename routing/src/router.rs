//! The decision: which rows go to which expert, and with what weight.

use candle_core::Tensor;
use drdiff_kernels::{Builder, Value};

use crate::expert_choice::ExpertChoice;
use crate::token_choice::TokenChoice;
use crate::{Placed, Result, RouterKind, RoutingConfig};

/// Rows that go through routed experts.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Rows of the pass, `[n]` u32, sorted by expert; a row stands here once for each expert that it has.
    pub rows: Tensor,
    /// Their weights, `[n, 1]` f32.
    pub gates: Value,
}

/// What a router decided for a pass with open rows.
#[derive(Debug, Clone)]
pub struct Routing {
    /// The rows for the experts; `None` if no expert has any.
    pub chosen: Option<Chosen>,
    /// How many rows each expert has.
    pub counts: Vec<usize>,
    /// How many times rows of each group go through an expert.
    pub taken: Vec<usize>,
    /// Auxiliary loss (a scalar) that training adds.
    pub aux_loss: Value,
    /// Mean entropy of the softmax over experts as a share of the largest possible, a scalar.
    pub entropy: Tensor,
}

/// Decides how much of a layer runs for each row.
pub trait Router: Send + Sync {
    /// `hidden`: `[rows, width]`, of which the router lets no gradient through; `placed`: the groups of its rows.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn route(&self, hidden: &Value, placed: &Placed) -> Result<Routing>;

    /// Floating-point operations of the scores of one member of a group.
    fn flops_per_row(&self) -> u64;
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
