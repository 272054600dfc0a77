//! The feed-forward half of a block: a shared expert that always runs, and routed experts beside it.

use drdiff_kernels::{Builder, Value};

use crate::experts::Experts;
use crate::{Activation, Chosen, ComputeReport, Expert, Placed, Read, Result, Router, Routing, RoutingConfig, router};

/// Sizes of one feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Width of the residual stream.
    pub width: usize,
    /// Hidden width of the shared expert.
    pub hidden: usize,
    /// What the gate of the shared expert goes through.
    pub activation: Activation,
}

/// Shared expert, routed experts and the router that chooses among them.
pub struct FeedForward {
    shared: Expert,
    routed: Option<(Box<dyn Router>, Experts)>,
}

impl FeedForward {
    /// Builds or loads the layer, with routed experts if there is a `routing` that is not dense; `out_std` is the standard
    /// deviation of the last maps at initialisation.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn new(builder: &Builder, shape: Shape, routing: Option<&RoutingConfig>, out_std: f64) -> Result<Self> {
        let sizes = (shape.width, shape.hidden);
        let shared = Expert::new(&builder.scope("shared"), sizes, shape.activation, out_std)?;
        let mut routed = None;
        if let Some(config) = routing
            && let Some(router) = router(&builder.scope("router"), config, shape.width)?
        {
            let sizes = (config.experts, shape.width, config.expert_hidden);
            routed = Some((router, Experts::new(&builder.scope("experts"), sizes, out_std)?));
        }
        Ok(Self { shared, routed })
    }

    /// `x`: `[rows, width]`; returns the sum of what ran for the rows that are `read`, and what the router decided. Routed
    /// experts run for rows of `placed` groups; without any, or in a layer that has none, the shared expert runs alone. If
    /// nothing is read, nothing runs.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn forward(
        &self,
        x: &Value,
        (placed, read): (Option<&Placed>, &Read),
        layer: usize,
        report: &mut ComputeReport,
    ) -> Result<(Value, Option<Routing>)> {
        let own = read.of(x)?;
        let rows = own.tensor().dim(0)? as u64;
        report.add(layer, rows, rows * self.shared.flops_per_row());
        if read.is_nothing() {
            return Ok((own, None));
        }
        let out = self.shared.forward(&own)?;
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
        let out = match read {
            Read::Rows(_) => {
                let none = Value::constant(&x.tensor().zeros_like()?);
                out.add(&read.of(&none.add_rows(rows, &y)?)?)?
            }
            Read::All | Read::Nothing => out.add_rows(rows, &y)?,
        };
        Ok((out, Some(routing)))
    }
}
