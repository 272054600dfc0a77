//! The layer that retrieves.

use std::sync::Arc;

use candle_core::Tensor;
use drdiff_kernels::{Builder, Init, Linear, Value};

use super::{Choices, Chunks, Lists, Queries, Units, attend, select};
use crate::{Error, Result, Shape};

/// Rows of a pass that choose among the same chunks: those of a segment.
#[derive(Debug, Clone)]
pub struct Field {
    /// Sequences.
    pub batch: usize,
    /// Which rows of each sequence choose together, and among which of its chunks.
    pub units: Arc<Units>,
    /// The chunks of all sequences, one sequence after another.
    pub chunks: Chunks,
    /// Which rows look for something, `[batch * rows]`; `None` if nobody knows.
    pub asking: Option<Arc<[bool]>>,
    /// Where the layers leave what they chose.
    pub choices: Choices,
}

/// Attention to the chunks that the rows choose.
///
/// Queries and keys are normed and carry no positions (arXiv 2511.23319, section 3). What the layer gives is read by the
/// next feed-forward half alone and does not enter the residual stream: `y = x + FFN(norm(x + retrieved))`, without
/// which retrieval does not reach far beyond the lengths that were trained on (arXiv 2510.17196).
pub struct RetrievalAttention {
    shape: Shape,
    top_k: usize,
    eps: f64,
    query: Linear,
    q_gain: Tensor,
    landmark_query: Linear,
    landmark_gain: Tensor,
    null: Tensor,
    out: Linear,
}

impl RetrievalAttention {
    /// Builds or loads the layer, which chooses `top_k` chunks by landmarks of width `landmark`; `out_std` is the standard
    /// deviation of the output map at initialisation.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn new(
        builder: &Builder,
        shape: Shape,
        (top_k, landmark): (usize, usize),
        out_std: f64,
        eps: f64,
    ) -> Result<Self> {
        let Shape {
            width, heads, head_dim, ..
        } = shape;
        let std = Init::Normal((width as f64).powf(-0.5));
        let all = heads * head_dim;
        Ok(Self {
            shape,
            top_k,
            eps,
            query: builder.hidden("query", &[all], width, std)?,
            q_gain: builder.tensor("q_gain", head_dim, Init::Const(1.0))?,
            landmark_query: builder.hidden("landmark_query", &[landmark], width, std)?,
            landmark_gain: builder.tensor("landmark_gain", landmark, Init::Const(1.0))?,
            null: builder.tensor("null", 1, Init::Const(0.0))?,
            out: builder.hidden("out", &[width], all, Init::Residual(out_std))?,
        })
    }

    /// `x`: `[rows, width]`, the rows of all fields one after another; returns the same shape.
    ///
    /// # Errors
    /// If shapes do not fit, or a pass that learns has more than one field.
    pub fn forward(&self, x: &Value, fields: &[Field]) -> Result<Value> {
        let Shape { heads, head_dim, .. } = self.shape;
        let rows = x.tensor().dim(0)?;
        let q = x.linear(&self.query)?.reshape((rows * heads, head_dim))?;
        let q = q.rms_norm(&self.q_gain, self.eps)?.reshape((rows, heads * head_dim))?;
        let r = x
            .linear(&self.landmark_query)?
            .rms_norm(&self.landmark_gain, self.eps)?;
        let found = match fields {
            [one] => self.retrieve(&q, &r, one)?,
            _ if x.is_recorded() => return Err(Error::Segments),
            many => {
                let mut parts = Vec::with_capacity(many.len());
                let mut first = 0;
                for field in many {
                    let count = field.batch * field.units.rows();
                    let part = |value: &Value| value.tensor().narrow(0, first, count).map(|t| Value::constant(&t));
                    parts.push(self.retrieve(&part(&q)?, &part(&r)?, field)?.tensor().clone());
                    first += count;
                }
                Value::constant(&Tensor::cat(&parts, 0)?)
            }
        };
        Ok(found.linear(&self.out)?)
    }

    fn retrieve(&self, q: &Value, r: &Value, field: &Field) -> Result<Value> {
        let Field {
            batch,
            units,
            chunks,
            asking,
            choices,
        } = field;
        let batch = *batch;
        let selection = select(
            r.tensor(),
            chunks.landmarks.tensor(),
            (units, asking.as_deref()),
            batch,
            self.top_k,
        )?;
        let lists = Lists::new(&selection, units, batch, q.tensor().device())?;
        choices.push(selection);
        let queries = Queries {
            attention: q,
            landmark: r,
            null: &Value::parameter(&self.null),
        };
        attend(queries, chunks, &lists)
    }
}
