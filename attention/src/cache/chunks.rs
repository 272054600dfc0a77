//! The committed part of a text as chunks that can be retrieved.

use std::sync::Arc;

use candle_core::Tensor;

use super::CacheShape;
use crate::retrieval::{CHUNK, Choices, Chunks, Retrieval, Units};
use crate::{Error, PassLayout, Result};

/// Keys, values and landmarks of whole chunks, each made once, and the stream's rows of a last chunk that is not whole.
#[derive(Debug)]
pub(super) struct Store {
    numbers: Retrieval,
    block_size: usize,
    /// Positions of the longest text.
    text: usize,
    /// Room for those of the longest text.
    chunks: Chunks,
    committed: usize,
    /// Rows of the stream, `[_, width]`, from the first position that is in no committed chunk; behind the committed
    /// ones those of the last pass that chunks are made of.
    rows: Option<Tensor>,
    /// What was chosen in the last pass.
    choices: Choices,
}

impl Store {
    pub(super) fn new(shape: CacheShape<'_>, numbers: &Retrieval, block_size: usize, text: usize) -> Result<Self> {
        Ok(Self {
            numbers: numbers.clone(),
            block_size,
            text,
            chunks: Chunks::room((text / CHUNK).max(1), shape, numbers.landmark)?,
            committed: 0,
            rows: None,
            choices: Choices::default(),
        })
    }

    /// All that is kept for the longest text.
    pub(super) fn tensors(&self) -> [&Tensor; 3] {
        let Chunks {
            keys,
            values,
            landmarks,
        } = &self.chunks;
        [keys.tensor(), values.tensor(), landmarks.tensor()]
    }

    pub(super) fn choices(&self) -> &Choices {
        &self.choices
    }

    /// A block that is the whole text finds its chunks among its own rows, to both sides, as such a window does in training: they
    /// are made anew in each pass, since nothing of it is committed.
    pub(super) fn units(&self, layout: PassLayout) -> Result<Arc<Units>> {
        let local = self.numbers.local;
        let before = layout.committed + layout.clean;
        let units = if before == 0 && layout.noisy == self.text {
            Units::whole(self.text, local)?
        } else {
            Units::pass(layout, (self.block_size, self.text), local)?
        };
        Ok(Arc::new(units.choosing(self.numbers.together)))
    }

    /// Takes in the rows of a pass that chunks are made of, `[clean, width]`, and returns those of the chunks that they make whole.
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
        if let Some(fresh) = fresh {
            self.chunks.put(count, fresh)?;
            count += fresh.count()?;
        }
        self.chunks.first(count)
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
