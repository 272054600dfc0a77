//! The vocabulary head with the losses that stand on it.

use super::Value;
use super::ops::gradients;
use crate::Result;
use crate::ops::{self, Expectation, Lesson, Parts, SoftTarget, Taught};
use candle_core::Tensor;

impl Value {
    /// Weighted cross-entropy of `softmax(self table^T + bias)`: the loss, a scalar, and the nats of each row's token.
    /// See [`ops::linear_cross_entropy`]. What is `taught` is a share of the targets, of which the tokens are the rest.
    ///
    /// # Errors
    /// If shapes or dtypes do not fit.
    pub fn cross_entropy(
        &self,
        table: &Self,
        bias: &Tensor,
        targets: &Tensor,
        weights: &Tensor,
        taught: Option<&Taught>,
    ) -> Result<(Self, Tensor)> {
        let bias = Self::parameter(bias);
        let inputs = [self, table, &bias];
        let learned = inputs.iter().any(|input| input.is_recorded());
        let lesson = Lesson {
            targets,
            weights,
            taught,
        };
        let parts = ops::cross_entropy_parts(inputs.map(Self::tensor), lesson, learned)?;
        Ok(Self::with_parts(inputs, parts))
    }

    /// Weighted Kullback-Leibler divergence from `softmax(self table^T + bias)` to a given distribution for each row,
    /// `sum_i weights_i KL(target_i || softmax_i)`: the loss, a scalar, and the nats of each row.
    ///
    /// # Errors
    /// If shapes or dtypes do not fit.
    pub fn divergence(
        &self,
        table: &Self,
        bias: &Tensor,
        target: &SoftTarget,
        weights: &Tensor,
    ) -> Result<(Self, Tensor)> {
        let bias = Self::parameter(bias);
        let inputs = [self, table, &bias];
        let learned = inputs.iter().any(|input| input.is_recorded());
        let parts = ops::divergence_parts(inputs.map(Self::tensor), target, weights, learned)?;
        Ok(Self::with_parts(inputs, parts))
    }

    /// The mean of `values` (`[V, e]` f32, constants) under `softmax(self table^T + bias)`: `[N, e]` f32.
    ///
    /// # Errors
    /// If shapes or dtypes do not fit.
    pub fn expectation(&self, table: &Self, bias: &Tensor, values: &Tensor) -> Result<Self> {
        let bias = Self::parameter(bias);
        let inputs = [self, table, &bias];
        let dtypes = inputs.map(|input| input.tensor.dtype());
        let op = Expectation::new(inputs.map(Self::tensor), values)?;
        let [mean] = Self::record(&inputs, [op.forward()?], move |[upstream]| {
            gradients(upstream, |dx| {
                let one = Tensor::ones((), dx.dtype(), dx.device())?;
                op.backward(dx)?.scaled(&one, dtypes)
            })
        });
        Ok(mean)
    }

    /// A loss whose gradients were made with it, and its rows.
    fn with_parts(inputs: [&Self; 3], parts: Parts) -> (Self, Tensor) {
        let dtypes = inputs.map(|input| input.tensor.dtype());
        let learned = parts.gradients;
        let [loss] = Self::record(&inputs, [parts.loss], move |[upstream]| {
            let (Some(upstream), Some(learned)) = (upstream, learned) else {
                return Ok(Vec::new());
            };
            learned.scaled(&upstream, dtypes)
        });
        (loss, parts.nats)
    }
}
