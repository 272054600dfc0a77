//! The routed experts of a layer, their weights in one stack.

use candle_core::Device;
use drdiff_kernels::{Builder, Init, Linear, Value, swiglu};

use crate::Result;
use crate::grouped::grouped_linear;

/// Gated linear units `down(silu(gate(x)) * up(x))`, identical in law and drawn apart. Their weights stand one under the
/// other in two tall matrices, which files quantise and optimisers move as they do those of other maps.
#[derive(Debug)]
pub(crate) struct Experts {
    /// `[experts * 2 hidden, width]`.
    gate_up: Linear,
    /// `[experts * width, hidden]`.
    down: Linear,
    width: usize,
    hidden: usize,
}

impl Experts {
    pub(crate) fn new(
        builder: &Builder,
        (experts, width, hidden): (usize, usize, usize),
        out_std: f64,
    ) -> Result<Self> {
        let std = (width as f64).powf(-0.5);
        let gate_up = builder.hidden("gate_up", &vec![hidden; 2 * experts], width, Init::Normal(std))?;
        let down = builder.hidden("down", &vec![width; experts], hidden, Init::Residual(out_std))?;
        Ok(Self {
            gate_up: separable(gate_up, 2 * hidden, builder.device())?,
            down: separable(down, width, builder.device())?,
            width,
            hidden,
        })
    }

    /// `x`: `[n, width]`, rows sorted by expert, `counts` of them for each; returns the same shape.
    pub(crate) fn forward(&self, x: &Value, counts: &[usize]) -> Result<Value> {
        let inner = grouped_linear(x, &self.gate_up, counts)?.through(swiglu)?;
        grouped_linear(&inner, &self.down, counts)
    }

    /// Floating-point operations of one row in one expert, forward only.
    pub(crate) fn flops_per_row(&self) -> u64 {
        6 * (self.width * self.hidden) as u64
    }
}

/// A quantised stack whose experts of `outputs` rows cannot be multiplied one by one becomes dense.
fn separable(stack: Linear, outputs: usize, device: &Device) -> Result<Linear> {
    Ok(match stack {
        Linear::Quantized(matrix) if !matrix.has_parts_of(outputs) => Linear::Dense(matrix.dequantize(device)?),
        other => other,
    })
}
