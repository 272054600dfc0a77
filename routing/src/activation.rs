//! What the gate of an expert goes through.

use drdiff_kernels::{Linear, Value, geglu};
use serde::{Deserialize, Serialize};

use crate::Result;

/// The activation of a gated linear unit (Shazeer, arXiv 2002.05202).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// SwiGLU.
    #[default]
    Silu,
    /// GeGLU, with gelu in its tanh form.
    GeluTanh,
}

impl Activation {
    /// `down(activation(first half) * second half)` of `x`, `[rows, 2 * hidden]`.
    pub(crate) fn unit(self, x: &Value, down: &Linear) -> Result<Value> {
        Ok(match self {
            Self::Silu => x.swiglu_linear(down)?,
            Self::GeluTanh => x.through(geglu)?.linear(down)?,
        })
    }
}
