//! From the rows of chunks to what can be retrieved: keys, values and a landmark for each chunk.

use std::sync::Arc;

use candle_core::Tensor;
use drdiff_kernels::{Builder, Init, Linear, Rotary, TilePlan, Value, Visibility};

use super::{CHUNK, Choices, Chunks, Field};
use crate::{Error, Past, Result, Segment, SelfAttention, Shape};

/// A transformer layer inside each chunk, with positions that begin anew in each, and the maps behind it.
///
/// Keys carry no positions of their own: where something stands in its chunk is for the layer to say, and how far away
/// the chunk is plays no part (arXiv 2511.23319, section 3). The landmark is what learned queries, one for each head,
/// find among the chunk's keys; a mean of the chunk could not stand for the logarithm of its attention's mass
/// (arXiv 2510.17196).
pub struct ChunkEncoder {
    shape: Shape,
    eps: f64,
    rotary: Rotary,
    inside: Arc<TilePlan>,
    pooling: Arc<TilePlan>,
    gains: [Tensor; 3],
    attention: SelfAttention,
    gate_up: Linear,
    down: Linear,
    key: Linear,
    k_gain: Tensor,
    value: Linear,
    pool: Tensor,
    landmark: Linear,
    landmark_gain: Tensor,
}

impl ChunkEncoder {
    /// Builds or loads the encoder; `landmark` is the width of landmarks, `eps` that of the norms.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn new(builder: &Builder, shape: Shape, landmark: usize, rope_base: f64, eps: f64) -> Result<Self> {
        let Shape {
            width,
            heads,
            kv_heads,
            head_dim,
            ..
        } = shape;
        let (all, shared) = (heads * head_dim, kv_heads * head_dim);
        let hidden = hidden(width);
        let inverse_root = |size: usize| (size as f64).powf(-0.5);
        let std = Init::Normal(inverse_root(width));
        let gain = |name| builder.tensor(name, width, Init::Const(1.0));
        let positions = (0..CHUNK as i64).collect();
        Ok(Self {
            shape,
            eps,
            rotary: Rotary::new(&[positions], head_dim, rope_base, builder.device())?,
            inside: Arc::new(TilePlan::new(&[Visibility::dense(CHUNK, CHUNK)])?),
            pooling: Arc::new(TilePlan::new(&[Visibility::dense(1, CHUNK)])?),
            gains: [gain("attention_gain")?, gain("feed_forward_gain")?, gain("gain")?],
            attention: SelfAttention::new(&builder.scope("attention"), shape, inverse_root(2 * all))?,
            gate_up: builder.hidden("gate_up", &[hidden, hidden], width, std)?,
            down: builder.hidden("down", &[width], hidden, Init::Residual(inverse_root(2 * hidden)))?,
            key: builder.hidden("key", &[shared], width, std)?,
            k_gain: builder.tensor("k_gain", head_dim, Init::Const(1.0))?,
            value: builder.hidden("value", &[shared], width, std)?,
            pool: builder.tensor("pool", (1, all), Init::Normal(1.0))?,
            landmark: builder.hidden("landmark", &[landmark], all, Init::Normal(inverse_root(all)))?,
            landmark_gain: builder.tensor("landmark_gain", landmark, Init::Const(1.0))?,
        })
    }

    /// What can be retrieved of the stream `x`, `[rows, width]`, in each segment: of whole texts, or of what a cache has
    /// and the pass adds to it.
    ///
    /// # Errors
    /// If shapes do not fit, a segment has no units, or a pass that learns has more than one segment or a cache.
    pub fn read(&self, x: &Value, segments: &mut [Segment<'_>]) -> Result<Vec<Field>> {
        if x.is_recorded() && (segments.len() > 1 || segments.iter().any(|segment| segment.past.is_some())) {
            return Err(Error::Segments);
        }
        let device = x.tensor().device();
        let mut first = 0;
        let mut fields = Vec::with_capacity(segments.len());
        for segment in segments {
            let (batch, units) = (segment.batch, segment.units.clone().ok_or(Error::Units)?);
            let mut choices = Choices::default();
            let chunks = match &mut segment.past {
                Some(Past::Cohort(_)) => return Err(Error::Units),
                Some(Past::Cache(cache)) => {
                    choices = cache.choices()?.clone();
                    choices.clear();
                    let clean = units.clean();
                    let clean = x.tensor().narrow(0, first + clean.start, clean.len())?;
                    cache.chunks(&clean, |rows| {
                        let all = Tensor::arange(0, rows.dim(0)? as u32, device)?;
                        self.forward(&Value::constant(rows), &all)
                    })?
                }
                None => self.forward(x, &units.chunk_rows(first, batch, device)?)?,
            };
            first += batch * segment.len;
            fields.push(Field {
                batch,
                units,
                chunks,
                asking: None,
                choices,
            });
        }
        Ok(fields)
    }

    /// What can be retrieved of the chunks that the rows `rows`, `[chunks * 64]` u32, of the stream `x`,
    /// `[all, width]`, make up.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn forward(&self, x: &Value, rows: &Tensor) -> Result<Chunks> {
        let Shape {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.shape;
        let (positions, chunks) = (rows.elem_count(), rows.elem_count() / CHUNK);
        if chunks == 0 {
            return self.nothing(x.tensor());
        }
        let [attention_gain, feed_forward_gain, gain] = &self.gains;
        let x = x.rows(rows)?;
        let inside = Segment {
            batch: chunks,
            len: CHUNK,
            plan: self.inside.clone().into(),
            rotary: &self.rotary,
            units: None,
            past: None,
        };
        let normed = x.rms_norm(attention_gain, self.eps)?;
        let delta = self.attention.forward(&normed, &mut [inside], 0)?;
        let (x, normed) = x.residual_norm(&delta, feed_forward_gain, self.eps)?;
        let delta = normed.linear(&self.gate_up)?.swiglu_linear(&self.down)?;
        let (_, encoded) = x.residual_norm(&delta, gain, self.eps)?;

        let keys = encoded.linear(&self.key)?.reshape((positions * kv_heads, head_dim))?;
        let keys = keys.rms_norm(&self.k_gain, self.eps)?;
        let values = encoded.linear(&self.value)?;
        let each = (chunks, CHUNK, kv_heads, head_dim);
        let pool = repeat(&self.pool, &keys, chunks)?.reshape((chunks, 1, heads, head_dim))?;
        let scale = (head_dim as f64).powf(-0.5);
        let (pooled, _) = pool.tile_attention(&keys.reshape(each)?, &values.reshape(each)?, &self.pooling, scale)?;
        let landmarks = pooled.reshape((chunks, heads * head_dim))?.linear(&self.landmark)?;
        Ok(Chunks {
            keys: keys.reshape((positions, kv_heads, head_dim))?,
            values: values.reshape((positions, kv_heads, head_dim))?,
            landmarks: landmarks.rms_norm(&self.landmark_gain, self.eps)?,
        })
    }
}

impl ChunkEncoder {
    /// No chunks, for a stream `x`.
    fn nothing(&self, x: &Tensor) -> Result<Chunks> {
        let Shape { kv_heads, head_dim, .. } = self.shape;
        let none = |shape: &[usize]| Tensor::zeros(shape, x.dtype(), x.device()).map(|none| Value::constant(&none));
        Ok(Chunks {
            keys: none(&[0, kv_heads, head_dim])?,
            values: none(&[0, kv_heads, head_dim])?,
            landmarks: none(&[0, self.landmark_gain.elem_count()])?,
        })
    }
}

/// Hidden width of the feed-forward half: two thirds of four times the width, in whole 64s.
pub(crate) fn hidden(width: usize) -> usize {
    (8 * width / 3).next_multiple_of(64)
}

/// The parameter `row`, `[1, n]`, `count` times, in the dtype of `beside` and on its tape.
fn repeat(row: &Tensor, beside: &Value, count: usize) -> Result<Value> {
    let shape = (count, row.dim(1)?);
    let rows = row.detach().to_dtype(beside.tensor().dtype())?.broadcast_as(shape)?;
    let dtype = row.dtype();
    let inputs = [beside, &Value::parameter(row)];
    let [rows] = Value::record(&inputs, [rows.contiguous()?], move |[upstream]| {
        let sum = upstream.map(|dy| dy.to_dtype(dtype)?.sum_keepdim(0)).transpose()?;
        Ok(vec![None, sum])
    });
    Ok(rows)
}
