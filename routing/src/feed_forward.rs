//! The feed-forward half of a block: a shared expert that always runs, and routed experts beside it.

use candle_core::Tensor;
use drdiff_kernels::{Builder, Value};

use crate::{ComputeReport, Error, Result, RouteContext, Router, SwiGlu};

/// Sizes of one feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Width of the residual stream.
    pub width: usize,
    /// Hidden width of the shared expert.
    pub hidden: usize,
    /// Number of routed experts (0 for a dense layer).
    pub experts: usize,
    /// Hidden width of each routed expert.
    pub expert_hidden: usize,
}

/// Shared expert, routed experts and the router that chooses among them.
pub struct FeedForward {
    shared: SwiGlu,
    routed: Vec<SwiGlu>,
    router: Box<dyn Router>,
}

impl FeedForward {
    /// Builds or loads the layer.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn new(builder: &Builder, shape: Shape, router: Box<dyn Router>, out_std: f64) -> Result<Self> {
        let shared = SwiGlu::new(&builder.scope("shared"), shape.width, shape.hidden, out_std)?;
        let mut routed = Vec::with_capacity(shape.experts);
        for expert in 0..shape.experts {
            let scope = builder.scope("experts").scope(expert);
            routed.push(SwiGlu::new(&scope, shape.width, shape.expert_hidden, out_std)?);
        }
        Ok(Self { shared, routed, router })
    }

    /// `x`: `[rows, width]`; returns the sum of what ran, and the router's auxiliary loss.
    ///
    /// # Errors
    /// If the router names an expert that does not exist, or shapes do not fit.
    pub fn forward(
        &self,
        x: &Value,
        context: &RouteContext,
        layer: usize,
        report: &mut ComputeReport,
    ) -> Result<(Value, Option<Tensor>)> {
        let mut out = self.shared.forward(x)?;
        let routing = self.router.route(x.tensor(), context)?;
        let rows = x.tensor().dim(0)?;
        let mut routed_flops = 0;
        for (expert, (ids, gate)) in routing.experts.iter().enumerate() {
            let experts = self.routed.len();
            let swiglu = self
                .routed
                .get(expert)
                .ok_or(Error::UnknownExpert { expert, experts })?;
            if ids.dim(0)? == 0 {
                continue;
            }
            let y = swiglu.forward(&x.rows(ids)?)?;
            let weighted = y.through(|y| Ok(y.broadcast_mul(gate)?))?;
            out = out.add_rows(ids, &weighted)?;
            routed_flops += ids.dim(0)? as u64 * swiglu.flops_per_row();
        }
        report.add(
            layer,
            rows as u64,
            rows as u64 * self.shared.flops_per_row(),
            routed_flops,
        );
        Ok((out, routing.aux_loss))
    }
}
