//! The committed part of a text as chunks that can be retrieved.

use std::sync::Arc;

use candle_core::Tensor;
use drdiff_kernels::Value;

use super::{CacheShape, write};
use crate::retrieval::{CHUNK, Choices, Chunks, Retrieval, Units};
use crate::{Error, PassLayout, Result};

/// Keys, values and landmarks of whole chunks, each made once, and the stream's rows of a last chunk that is not whole.
#[derive(Debug)]
pub(super) struct Store {
    local: usize,
    block_size: usize,
    /// Positions of the longest text.
    text: usize,
    keys: Tensor,
    values: Tensor,
    landmarks: Tensor,
    committed: usize,
    /// Rows of the stream, `[_, width]`, from the first position that is in no committed chunk; behind the committed
    /// ones the clean rows of the last pass.
    rows: Option<Tensor>,
    /// What was chosen in the last pass.
    choices: Choices,
}

impl Store {
    pub(super) fn new(shape: CacheShape<'_>, numbers: &Retrieval, block_size: usize, text: usize) -> Result<Self> {
        let chunks = (text / CHUNK).max(1);
        let positions = || {
            let size = (chunks * CHUNK, shape.kv_heads, shape.head_dim);
            Tensor::zeros(size, shape.dtype, shape.device)
        };
        Ok(Self {
            local: numbers.local,
            block_size,
            text,
            keys: positions()?,
            values: positions()?,
            landmarks: Tensor::zeros((chunks, numbers.landmark), shape.dtype, shape.device)?,
            committed: 0,
            rows: None,
            choices: Choices::default(),
        })
    }

    /// All that is kept for the longest text.
    pub(super) fn tensors(&self) -> [&Tensor; 3] {
        [&self.keys, &self.values, &self.landmarks]
    }

    pub(super) fn choices(&self) -> &Choices {
        &self.choices
    }

    pub(super) fn units(&self, layout: PassLayout) -> Result<Arc<Units>> {
        let units = Units::pass(layout, (self.block_size, self.text), self.local)?;
        Ok(Arc::new(units))
    }

    /// Takes in the clean rows of a pass, `[clean, width]`, and returns those of the chunks that they make whole.
    pub(super) fn extend(&mut self, clean: &Tensor) -> Result<Option<Tensor>> {
        let kept = self.committed % CHUNK;
        let needed = self.committed + clean.dim(0)?;
        if needed > self.text {
            return Err(Error::CacheFull {
                capacity: self.text,
                needed,
            });
        }
        let rows = match &self.rows {
            Some(rows) if kept > 0 && needed > self.committed => Tensor::cat(&[&rows.narrow(0, 0, kept)?, clean], 0)?,
            Some(rows) if kept > 0 => rows.narrow(0, 0, kept)?,
            _ => clean.clone(),
        };
        let whole = rows.dim(0)? / CHUNK * CHUNK;
        let fresh = match whole {
            0 => None,
            whole => Some(rows.narrow(0, 0, whole)?),
        };
        self.rows = Some(rows);
        Ok(fresh)
    }

    /// Writes fresh chunks, if there are any, behind the committed ones and returns all of them.
    pub(super) fn all(&mut self, fresh: Option<&Chunks>) -> Result<Chunks> {
        let mut count = self.committed / CHUNK;
        if let Some(Chunks {
            keys,
            values,
            landmarks,
        }) = fresh
        {
            write(&self.keys, keys.tensor(), 0, count * CHUNK)?;
            write(&self.values, values.tensor(), 0, count * CHUNK)?;
            write(&self.landmarks, landmarks.tensor(), 0, count)?;
            count += landmarks.tensor().dim(0)?;
        }
        let first = |tensor: &Tensor, count| tensor.narrow(0, 0, count).map(|t| Value::constant(&t));
        Ok(Chunks {
            keys: first(&self.keys, count * CHUNK)?,
            values: first(&self.values, count * CHUNK)?,
            landmarks: first(&self.landmarks, count)?,
        })
    }

    /// Makes the first `positions` of the last pass permanent.
    pub(super) fn commit(&mut self, positions: usize) -> Result<()> {
        let kept = self.committed % CHUNK + positions;
        self.committed += positions;
        if let Some(rows) = &self.rows {
            let (first, count) = (kept / CHUNK * CHUNK, kept % CHUNK);
            // A copy: a view would keep the stream of the whole pass.
            self.rows = match count {
                0 => None,
                count => Some(rows.narrow(0, first, count)?.force_contiguous()?),
            };
        }
        Ok(())
    }
}
