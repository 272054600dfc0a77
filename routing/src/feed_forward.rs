//! The feed-forward half of a block: a shared expert that always runs, and routed experts beside it.

use drdiff_kernels::{Builder, Value};

use crate::experts::Experts;
use crate::{Chosen, ComputeReport, Placed, Result, Router, Routing, RoutingConfig, SwiGlu, router};

/// Sizes of one feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Width of the residual stream.
    pub width: usize,
    /// Hidden width of the shared expert.
    pub hidden: usize,
}

/// Shared expert, routed experts and the router that chooses among them.
pub struct FeedForward {
    shared: SwiGlu,
    routed: Option<(Box<dyn Router>, Experts)>,
}

impl FeedForward {
    /// Builds or loads the layer, with routed experts if there is a `routing` that is not dense; `out_std` is the standard
    /// deviation of the last maps at initialisation.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn new(builder: &Builder, shape: Shape, routing: Option<&RoutingConfig>, out_std: f64) -> Result<Self> {
        let shared = SwiGlu::new(&builder.scope("shared"), shape.width, shape.hidden, out_std)?;
        let mut routed = None;
        if let Some(config) = routing
            && let Some(router) = router(&builder.scope("router"), config, shape.width)?
        {
            let sizes = (config.experts, shape.width, config.expert_hidden);
            routed = Some((router, Experts::new(&builder.scope("experts"), sizes, out_std)?));
        }
        Ok(Self { shared, routed })
    }

    /// `x`: `[rows, width]`; returns the sum of what ran, and what the router decided. Routed experts run for
    /// rows of `placed` groups; without any, or in a layer that has none, the shared expert runs alone.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn forward(
        &self,
        x: &Value,
        placed: Option<&Placed>,
        layer: usize,
        report: &mut ComputeReport,
    ) -> Result<(Value, Option<Routing>)> {
        let out = self.shared.forward(x)?;
        let rows = x.tensor().dim(0)? as u64;
        let shared = rows * self.shared.flops_per_row();
        report.add(layer, rows, shared);
        let (Some((router, experts)), Some(placed)) = (&self.routed, placed) else {
            return Ok((out, None));
        };
        let routing = router.route(x, placed)?;
        let costs = [router.flops_per_row(), experts.flops_per_row()];
        report.add_routed(layer, costs, &placed.groups, &routing)?;
        let Some(Chosen { rows, gates }) = &routing.chosen else {
            return Ok((out, Some(routing)));
        };
        let y = experts.forward(&x.rows(rows)?, &routing.counts)?;
        let y = crate::grouped::weighted(&y, gates)?;
        Ok((out.add_rows(rows, &y)?, Some(routing)))
    }
}
