//! The mean of given vectors under the predicted distribution, with a gradient through the probabilities.

use super::cross_entropy::Gradients;
use super::mixture::{join, probabilities};
use crate::{Error, Result};
use candle_core::{DType, Tensor};

const NAME: &str = "linear_expectation";
/// Rows whose probabilities exist at one time.
const CHUNK: usize = 2048;

/// The inputs of `softmax(h table^T + bias) values`, outside any graph.
pub(crate) struct Expectation {
    h: Tensor,
    table: Tensor,
    bias: Tensor,
    values: Tensor,
}

impl Expectation {
    /// `h: [N, d]`, `table: [V, d]`, `bias: [V]` f32, `values: [V, e]` f32.
    pub(crate) fn new([h, table, bias]: [&Tensor; 3], values: &Tensor) -> Result<Self> {
        let ((_, width), (vocab, table_width)) = (h.dims2()?, table.dims2()?);
        if width != table_width || bias.dims() != [vocab] || values.dim(0)? != vocab {
            let problem = format!(
                "h {:?}, table {:?}, bias {:?}, values {:?}",
                h.dims(),
                table.dims(),
                bias.dims(),
                values.dims()
            );
            return Err(Error::shape(NAME, problem));
        }
        let [h, table, bias, values] = [h, &table.to_dtype(h.dtype())?, bias, values].map(Tensor::detach);
        Ok(Self { h, table, bias, values })
    }

    fn chunks(&self) -> Result<Vec<(usize, usize)>> {
        let rows = self.h.dim(0)?;
        let starts = (0..rows).step_by(CHUNK);
        Ok(starts.map(|start| (start, CHUNK.min(rows - start))).collect())
    }

    /// Hidden rows of a chunk and their probabilities, `[count, V]` f32.
    fn chunk(&self, start: usize, count: usize) -> Result<(Tensor, Tensor)> {
        let h = self.h.narrow(0, start, count)?.contiguous()?;
        let p = probabilities(h.matmul(&self.table.t()?)?.to_dtype(DType::F32)?, &self.bias)?;
        Ok((h, p))
    }

    /// The means, `[N, e]` f32.
    pub(crate) fn forward(&self) -> Result<Tensor> {
        let mut means = Vec::new();
        for (start, count) in self.chunks()? {
            means.push(self.chunk(start, count)?.1.matmul(&self.values)?);
        }
        join(&means, (0, self.values.dim(1)?), DType::F32, self.h.device())
    }

    /// Gradients of `h`, `table` and `bias`; probabilities are made again: `dl = p (dx values^T - <p, dx values^T>)`.
    pub(crate) fn backward(&self, dx: &Tensor) -> Result<Gradients> {
        let mut dh = Vec::new();
        let mut table = self.table.to_dtype(DType::F32)?.zeros_like()?;
        let mut bias = self.bias.zeros_like()?;
        for (start, count) in self.chunks()? {
            let (h, p) = self.chunk(start, count)?;
            let dp = dx.narrow(0, start, count)?.contiguous()?.matmul(&self.values.t()?)?;
            let mean = (&p * &dp)?.sum_keepdim(1)?;
            let dl = (p * dp.broadcast_sub(&mean)?)?;
            bias = (bias + dl.sum(0)?)?;
            let dl = dl.to_dtype(h.dtype())?;
            dh.push(dl.matmul(&self.table)?);
            table = (table + dl.t()?.matmul(&h)?.to_dtype(DType::F32)?)?;
        }
        Ok(Gradients {
            h: join(&dh, (0, self.h.dim(1)?), self.h.dtype(), self.h.device())?,
            table,
            bias,
        })
    }
}
