//! The routed experts of a layer, their weights in one stack.

use candle_core::Tensor;
use drdiff_kernels::{Builder, Init, Value, swiglu};

use crate::Result;
use crate::grouped::grouped_linear;

/// Gated linear units `down(silu(gate(x)) * up(x))` side by side, identical in law and drawn apart.
#[derive(Debug)]
pub(crate) struct Experts {
    /// `[experts, 2 hidden, width]`.
    gate_up: Tensor,
    /// `[experts, width, hidden]`.
    down: Tensor,
}

impl Experts {
    pub(crate) fn new(
        builder: &Builder,
        (experts, width, hidden): (usize, usize, usize),
        out_std: f64,
    ) -> Result<Self> {
        let std = (width as f64).powf(-0.5);
        Ok(Self {
            gate_up: builder.tensor("gate_up", (experts, 2 * hidden, width), Init::Normal(std))?,
            down: builder.tensor("down", (experts, width, hidden), Init::Residual(out_std))?,
        })
    }

    /// `x`: `[n, width]`, rows sorted by expert, `counts` of them for each; returns the same shape.
    pub(crate) fn forward(&self, x: &Value, counts: &[usize]) -> Result<Value> {
        let inner = grouped_linear(x, &self.gate_up, counts)?.through(swiglu)?;
        grouped_linear(&inner, &self.down, counts)
    }

    /// Floating-point operations of one row in one expert, forward only.
    pub(crate) fn flops_per_row(&self) -> u64 {
        let hidden = self.gate_up.dims().get(1).copied().unwrap_or(0) / 2;
        let width = self.gate_up.dims().last().copied().unwrap_or(0);
        6 * (width * hidden) as u64
    }
}
