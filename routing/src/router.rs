//! The decision: which rows go to which expert, and with what weight.

use candle_core::Tensor;

use crate::Result;

/// What a router may look at besides the hidden state.
#[derive(Debug, Clone, Copy, Default)]
pub struct RouteContext {
    /// Share of the layer's full compute that may be spent, in `(0, 1]`; `None` means all of it.
    pub budget: Option<f64>,
}

/// Rows for each routed expert.
#[derive(Debug, Clone, Default)]
pub struct Routing {
    /// For each routed expert: its rows (`[n]`, u32) and their gate weights (`[n, 1]`).
    pub experts: Vec<(Tensor, Tensor)>,
    /// Auxiliary loss (a scalar) that training adds, if the router has one.
    pub aux_loss: Option<Tensor>,
}

/// Decides how much of a layer runs for each row.
pub trait Router: Send + Sync {
    /// `hidden`: `[rows, width]`, detached from the graph, so that routing cannot bend the trunk
    /// (DrDiff, arXiv 2509.02785: the gate reads a stop-gradient of the state).
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn route(&self, hidden: &Tensor, context: &RouteContext) -> Result<Routing>;
}

/// No routed expert runs: the shared expert alone, the dense network.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlwaysOn;

impl Router for AlwaysOn {
    fn route(&self, _hidden: &Tensor, _context: &RouteContext) -> Result<Routing> {
        Ok(Routing::default())
    }
}
