//! Linear maps, alone and after a gated unit.

use super::Value;
use super::ops::gradients;
use crate::ops::{self, SwiGlu};
use crate::params::Linear;
use crate::{Error, Result};
use candle_core::Tensor;

impl Value {
    /// See [`Linear::forward`]. A quantised map lets no gradient through; that of the weight has this value's dtype.
    ///
    /// # Errors
    /// If the last dimension is not the map's input width, or a quantised map stands on a tape.
    pub fn linear(&self, map: &Linear) -> Result<Self> {
        let Some(weight) = self.weight(map)? else {
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

    /// `map` of [`ops::swiglu`] of this value. The product between the two is not kept: the backward pass makes it
    /// again while it reads what the product's own gradient needs anyway.
    ///
    /// # Errors
    /// If the last dimension is odd or half of it not the map's input width, or a quantised map stands on a tape.
    pub fn swiglu_linear(&self, map: &Linear) -> Result<Self> {
        let x = self.tensor.clone();
        let product = ops::swiglu(&x)?;
        let Some(weight) = self.weight(map)? else {
            return Ok(Self::constant(&map.forward(&product)?));
        };
        let (outputs, inputs) = weight.dims2()?;
        let cast = weight.detach().to_dtype(x.dtype())?;
        let y = Linear::Dense(cast.clone()).forward(&product)?;
        let shape = product.shape().clone();
        let [y] = Self::record(&[self, &Self::parameter(weight)], [y], move |[upstream]| {
            gradients(upstream, |dy| {
                let rows_dy = dy.contiguous()?.reshape(((), outputs))?;
                let dproduct = rows_dy.matmul(&cast)?.reshape(shape)?;
                let (dx, product) = SwiGlu.backward_with_product(&x, &dproduct)?;
                let dweight = rows_dy.t()?.matmul(&product.reshape(((), inputs))?)?;
                Ok(vec![Some(dx), Some(dweight)])
            })
        });
        Ok(y)
    }

    /// The weight of a map, or `None` if it is quantised, which lets no gradient through.
    fn weight<'a>(&self, map: &'a Linear) -> Result<Option<&'a Tensor>> {
        match map {
            Linear::Dense(weight) => Ok(Some(weight)),
            Linear::Quantized(_) if self.is_recorded() => {
                Err(Error::shape("linear", "a quantised map cannot be learned through"))
            }
            Linear::Quantized(_) => Ok(None),
        }
    }
}
