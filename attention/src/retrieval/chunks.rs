//! What can be retrieved.

use candle_core::Tensor;
use drdiff_kernels::Value;

use super::CHUNK;
use crate::Result;
use crate::cache::{CacheShape, write};

/// What the chunks of a pass bring.
#[derive(Debug, Clone)]
pub struct Chunks {
    /// Keys, `[chunks * 64, G, D]`.
    pub keys: Value,
    /// Values, `[chunks * 64, G, D]`.
    pub values: Value,
    /// Landmarks, `[chunks, R]`.
    pub landmarks: Value,
}

impl Chunks {
    /// Room for `count` chunks with landmarks of width `landmark`, to be [`put`](Self::put) there.
    ///
    /// # Errors
    /// If the memory cannot be had.
    pub fn room(count: usize, shape: CacheShape<'_>, landmark: usize) -> Result<Self> {
        let zeros =
            |dims: &[usize]| -> Result<Value> { Ok(Value::constant(&Tensor::zeros(dims, shape.dtype, shape.device)?)) };
        let positions = [count * CHUNK, shape.kv_heads, shape.head_dim];
        Ok(Self {
            keys: zeros(&positions)?,
            values: zeros(&positions)?,
            landmarks: zeros(&[count, landmark])?,
        })
    }

    /// Writes `fresh` chunks over those from `first` on, in place.
    ///
    /// # Errors
    /// If they do not fit.
    pub fn put(&self, first: usize, fresh: &Self) -> Result<()> {
        write(self.keys.tensor(), fresh.keys.tensor(), 0, first * CHUNK)?;
        write(self.values.tensor(), fresh.values.tensor(), 0, first * CHUNK)?;
        write(self.landmarks.tensor(), fresh.landmarks.tensor(), 0, first)
    }

    /// The first `count` chunks.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn first(&self, count: usize) -> Result<Self> {
        let first = |value: &Value, count| value.tensor().narrow(0, 0, count).map(|t| Value::constant(&t));
        Ok(Self {
            keys: first(&self.keys, count * CHUNK)?,
            values: first(&self.values, count * CHUNK)?,
            landmarks: first(&self.landmarks, count)?,
        })
    }

    /// How many there are.
    ///
    /// # Errors
    /// If the landmarks are no matrix.
    pub fn count(&self) -> Result<usize> {
        Ok(self.landmarks.tensor().dim(0)?)
    }
}
