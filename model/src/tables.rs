//! The tables that a pass reads.

use candle_core::Tensor;
use drdiff_kernels::{Tape, Value};

/// What depends on parameters alone: made once for each training step, and once for generation.
#[derive(Clone)]
pub struct Tables {
    /// Unit rows, `[vocab, embed]` f32.
    pub(crate) unit: Value,
    /// Input rows of the anchors and, last, of the absorbed state, `[vocab + 1, width]`.
    pub(crate) input: Value,
    pub(crate) tape: Option<Tape>,
}

impl Tables {
    /// Unit embeddings `e(x)`, `[vocab, embed]` f32.
    pub fn unit(&self) -> &Value {
        &self.unit
    }

    /// The same numbers for a pass that is not recorded.
    pub fn detached(&self) -> Self {
        let Frozen { unit, input } = self.frozen();
        Self {
            unit: Value::constant(&unit),
            input: Value::constant(&input),
            tape: None,
        }
    }

    /// The numbers alone.
    pub(crate) fn frozen(&self) -> Frozen {
        Frozen {
            unit: self.unit.tensor().clone(),
            input: self.input.tensor().clone(),
        }
    }
}

/// [`Tables`] of a network that does not learn.
#[derive(Debug, Clone)]
pub(crate) struct Frozen {
    pub(crate) unit: Tensor,
    pub(crate) input: Tensor,
}
