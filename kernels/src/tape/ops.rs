//! The operations of a network on values.

use super::Value;
use crate::ops::{self, RmsNorm, SwiGlu};
use crate::params::Linear;
use crate::{Error, Result};
use candle_core::{Shape, Tensor};

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

    /// See [`ops::rms_norm`].
    ///
    /// # Errors
    /// If the gain's length is not the last dimension.
    pub fn rms_norm(&self, gain: &Tensor, eps: f64) -> Result<Self> {
        let (x, constant_gain) = (self.tensor.clone(), gain.detach());
        let y = ops::rms_norm(&x, Some(&constant_gain), eps)?;
        let [y] = Self::record(&[self, &Self::parameter(gain)], [y], move |[upstream]| {
            gradients(upstream, |dy| {
                let (dx, dgain) = RmsNorm::new(eps).backward_gained(&x, &constant_gain, dy)?;
                Ok(vec![Some(dx), Some(dgain)])
            })
        });
        Ok(y)
    }

    /// `sum = self + delta` and its norm, see [`ops::residual_norm`].
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn residual_norm(&self, delta: &Self, gain: &Tensor, eps: f64) -> Result<(Self, Self)> {
        let constant_gain = gain.detach();
        let (sum, normed) = ops::residual_norm(&self.tensor, &delta.tensor, &constant_gain, eps)?;
        let kept = sum.clone();
        let inputs = [self, delta, &Self::parameter(gain)];
        let [sum, normed] = Self::record(&inputs, [sum, normed], move |[dsum, dnormed]| {
            let Some(dnormed) = dnormed else {
                return Ok(vec![dsum.clone(), dsum, None]);
            };
            let (dx, dgain) = ops::residual_norm_backward(&kept, &constant_gain, dsum.as_ref(), &dnormed, eps)?;
            Ok(vec![Some(dx.clone()), Some(dx), Some(dgain)])
        });
        Ok((sum, normed))
    }

    /// See [`Linear::forward`]. A quantised map lets no gradient through; that of the weight has this value's dtype.
    ///
    /// # Errors
    /// If the last dimension is not the map's input width, or a quantised map stands on a tape.
    pub fn linear(&self, map: &Linear) -> Result<Self> {
        let Linear::Dense(weight) = map else {
            if self.is_recorded() {
                return Err(Error::shape("linear", "a quantised map cannot be learned through"));
            }
            return Ok(Self::constant(&map.forward(&self.tensor)?));
        };
        let (outputs, inputs) = weight.dims2()?;
        let x = self.tensor.contiguous()?;
        let cast = weight.detach().to_dtype(x.dtype())?;
        let y = Linear::Dense(cast.clone()).forward(&x)?;
        let [y] = Self::record(&[self, &Self::parameter(weight)], [y], move |[upstream]| {
            gradients(upstream, |dy| {
                let dy = dy.contiguous()?;
                let (rows_dy, rows_x) = (dy.reshape(((), outputs))?, x.reshape(((), inputs))?);
                let dx = rows_dy.matmul(&cast)?.reshape(x.shape())?;
                Ok(vec![Some(dx), Some(rows_dy.t()?.matmul(&rows_x)?)])
            })
        });
        Ok(y)
    }

    /// See [`ops::swiglu`].
    ///
    /// # Errors
    /// If the last dimension is odd.
    pub fn swiglu(&self) -> Result<Self> {
        let x = self.tensor.clone();
        let y = ops::swiglu(&x)?;
        let [y] = Self::record(&[self], [y], move |[upstream]| {
            gradients(upstream, |dy| Ok(vec![Some(SwiGlu.backward(&x, dy)?)]))
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

    /// This matrix with the rows of `other` added to its rows `ids` (`[n]` u32, each at most once).
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn add_rows(&self, ids: &Tensor, other: &Self) -> Result<Self> {
        let sum = self.tensor.index_add(ids, &other.tensor, 0)?;
        let ids = ids.contiguous()?;
        let [sum] = Self::record(&[self, other], [sum], move |[upstream]| {
            gradients(upstream, |dy| {
                let dother = ops::embedding(&ids, &dy.contiguous()?)?;
                Ok(vec![Some(dy.clone()), Some(dother)])
            })
        });
        Ok(sum)
    }

    /// Weighted cross-entropy of `softmax(self table^T + bias)`: the loss, a scalar, and the nats of each row.
    /// See [`ops::linear_cross_entropy`].
    ///
    /// # Errors
    /// If shapes or dtypes do not fit.
    pub fn cross_entropy(
        &self,
        table: &Self,
        bias: &Tensor,
        targets: &Tensor,
        weights: &Tensor,
    ) -> Result<(Self, Tensor)> {
        let bias = Self::parameter(bias);
        let inputs = [self, table, &bias];
        let parts = ops::cross_entropy_parts(
            inputs.map(Self::tensor),
            targets,
            weights,
            inputs.iter().any(|input| input.is_recorded()),
        )?;
        let dtypes = inputs.map(|input| input.tensor.dtype());
        let learned = parts.gradients;
        let [loss] = Self::record(&inputs, [parts.loss], move |[upstream]| {
            let (Some(upstream), Some(learned)) = (upstream, learned) else {
                return Ok(Vec::new());
            };
            learned.scaled(&upstream, dtypes)
        });
        Ok((loss, parts.nats))
    }
}

fn gradients(
    upstream: Option<Tensor>,
    backward: impl FnOnce(&Tensor) -> Result<Vec<Option<Tensor>>>,
) -> Result<Vec<Option<Tensor>>> {
    upstream.map_or_else(|| Ok(Vec::new()), |upstream| backward(&upstream))
}
