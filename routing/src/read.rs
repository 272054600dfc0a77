//! Which rows somebody reads when a pass is over.

use candle_core::Tensor;
use drdiff_kernels::Value;

use crate::Result;

/// The rows of a pass whose last state is read. What only they need, the last feed-forward half, runs for no others: a row
/// that is settled gives keys and values to every layer, and has no more to say.
#[derive(Debug, Clone, Default)]
pub enum Read {
    /// All rows.
    #[default]
    All,
    /// None: the pass fills caches.
    Nothing,
    /// These rows, `[n]` u32.
    Rows(Tensor),
}

impl Read {
    /// What is read of `x`, `[rows, width]`.
    ///
    /// # Errors
    /// If it is not a matrix.
    pub fn of(&self, x: &Value) -> Result<Value> {
        Ok(match self {
            Self::All => x.clone(),
            Self::Nothing => Value::constant(&x.tensor().narrow(0, 0, 0)?),
            Self::Rows(rows) => x.rows(rows)?,
        })
    }

    /// Whether nothing is read.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}
