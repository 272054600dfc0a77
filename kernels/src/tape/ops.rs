//! The operations of a network on values.

use super::Value;
use crate::Result;
use crate::ops;
use candle_core::{DType, Shape, Tensor};

impl Value {
    /// The sum of two values of one shape.
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn add(&self, other: &Self) -> Result<Self> {
        let sum = ops::add(&self.tensor, &other.tensor)?;
        let [sum] = Self::record(&[self, other], [sum], |[upstream]| Ok(vec![upstream.clone(), upstream]));
        Ok(sum)
    }

    /// `bias` (`[width]` f32) added to every row, `[.., width]`.
    ///
    /// # Errors
    /// If the widths differ.
    pub fn add_bias(&self, bias: &Tensor) -> Result<Self> {
        let sum = self
            .tensor
            .broadcast_add(&bias.detach().to_dtype(self.tensor.dtype())?)?;
        let width = bias.dim(0)?;
        let [sum] = Self::record(&[self, &Self::parameter(bias)], [sum], move |[upstream]| {
            gradients(upstream, |dy| {
                let rows = dy.contiguous()?.reshape(((), width))?;
                let dbias = rows.to_dtype(DType::F32)?.sum(0)?;
                Ok(vec![Some(dy.clone()), Some(dbias)])
            })
        });
        Ok(sum)
    }

    /// The same numbers in another shape.
    ///
    /// # Errors
    /// If the element counts differ.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Self> {
        let before = self.tensor.shape().clone();
        let [y] = Self::record(&[self], [self.tensor.reshape(shape.into())?], |[upstream]| {
            gradients(upstream, |dy| Ok(vec![Some(dy.reshape(before)?)]))
        });
        Ok(y)
    }

    /// The rows `ids` (`[n]` u32) of this table, see [`ops::embedding`].
    ///
    /// # Errors
    /// If this is not a matrix, or on the CPU if an id is out of range.
    pub fn rows(&self, ids: &Tensor) -> Result<Self> {
        let (table, ids) = (self.tensor.clone(), ids.contiguous()?);
        let rows = ops::embedding(&ids, &table)?;
        let [rows] = Self::record(&[self], [rows], move |[upstream]| {
            gradients(upstream, |dy| {
                Ok(vec![Some(ops::embedding_backward(&ids, &table, dy)?)])
            })
        });
        Ok(rows)
    }

    /// This matrix with the rows of `other` (`[n, width]`) added to its rows `ids` (`[n]` u32). Several may go to one row:
    /// they are summed in f32, in their order, before they are added.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn add_rows(&self, ids: &Tensor, other: &Self) -> Result<Self> {
        let ids = ids.contiguous()?;
        // candle's `index_add` would walk over all ids for every column on CUDA, and round to bf16 at each.
        let added = ops::embedding_backward(&ids, &self.tensor, &other.tensor.contiguous()?)?;
        let sum = ops::add(&self.tensor, &added)?;
        let [sum] = Self::record(&[self, other], [sum], move |[upstream]| {
            gradients(upstream, |dy| {
                let dother = ops::embedding(&ids, &dy.contiguous()?)?;
                Ok(vec![Some(dy.clone()), Some(dother)])
            })
        });
        Ok(sum)
    }
}

/// The gradients that follow from `upstream`, if there is any.
pub(super) fn gradients(
    upstream: Option<Tensor>,
    backward: impl FnOnce(&Tensor) -> Result<Vec<Option<Tensor>>>,
) -> Result<Vec<Option<Tensor>>> {
    upstream.map_or_else(|| Ok(Vec::new()), |upstream| backward(&upstream))
}
