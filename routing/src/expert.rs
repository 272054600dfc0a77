//! One expert: a gated linear unit.

use drdiff_kernels::{Builder, Init, Linear, Value};

use crate::{Activation, Result};

/// `down(activation(gate(x)) * up(x))` (Shazeer, arXiv 2002.05202), gate and up as one product.
#[derive(Debug)]
pub struct Expert {
    gate_up: Linear,
    down: Linear,
    activation: Activation,
    width: usize,
    hidden: usize,
}

impl Expert {
    /// Builds or loads an expert from `width` through `hidden` back to `width`; `out_std` is the standard deviation
    /// of the last map at initialisation.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn new(
        builder: &Builder,
        (width, hidden): (usize, usize),
        activation: Activation,
        out_std: f64,
    ) -> Result<Self> {
        let std = (width as f64).powf(-0.5);
        Ok(Self {
            gate_up: builder.hidden("gate_up", &[hidden, hidden], width, Init::Normal(std))?,
            down: builder.hidden("down", &[width], hidden, Init::Residual(out_std))?,
            activation,
            width,
            hidden,
        })
    }

    /// `x`: `[rows, width]`; returns the same shape.
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn forward(&self, x: &Value) -> Result<Value> {
        self.activation.unit(&x.linear(&self.gate_up)?, &self.down)
    }

    /// Floating-point operations of one row, forward only.
    pub fn flops_per_row(&self) -> u64 {
        6 * (self.width * self.hidden) as u64
    }
}
