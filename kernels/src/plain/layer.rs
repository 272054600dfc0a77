//! The weights of a layer.

use super::PlainSizes;
use crate::{Params, QuantizedMatrix, params::Param};
use candle_core::DType;

/// One layer of [`super::PlainLayers`].
#[derive(Debug)]
pub struct PlainLayer {
    pub(super) attention_gain: Vec<f32>,
    pub(super) qkv: QuantizedMatrix,
    pub(super) bias: Option<Vec<f32>>,
    pub(super) q_gain: Vec<f32>,
    pub(super) k_gain: Vec<f32>,
    pub(super) out: QuantizedMatrix,
    pub(super) feed_forward_gain: Vec<f32>,
    pub(super) gate_up: QuantizedMatrix,
    pub(super) down: QuantizedMatrix,
}

impl PlainLayer {
    /// The layer whose parameters are registered under `scope`, with head vectors of `head_dim` numbers; `None` if one of them is
    /// missing or of another kind. Gains of heads that have none are 1.
    #[must_use]
    pub fn of(params: &Params, scope: &str, head_dim: usize) -> Option<Self> {
        let find = |name: &str| params.get(&format!("{scope}.{name}"));
        let matrix = |name: &str| match find(name)? {
            Param::Quantized(matrix) => Some(matrix.clone()),
            Param::Fixed(_) | Param::Trained(_) => None,
        };
        let numbers = |name: &str| match find(name)? {
            Param::Fixed(tensor) if tensor.dtype() == DType::F32 => tensor.to_vec1().ok(),
            _ => None,
        };
        let gain = |name: &str| match find(name) {
            None => Some(vec![1.0; head_dim]),
            Some(_) => numbers(name),
        };
        Some(Self {
            attention_gain: numbers("attention_norm.gain")?,
            qkv: matrix("attention.qkv")?,
            bias: match find("attention.qkv_bias") {
                None => None,
                Some(_) => Some(numbers("attention.qkv_bias")?),
            },
            q_gain: gain("attention.q_gain")?,
            k_gain: gain("attention.k_gain")?,
            out: matrix("attention.out")?,
            feed_forward_gain: numbers("feed_forward_norm.gain")?,
            gate_up: matrix("feed_forward.shared.gate_up")?,
            down: matrix("feed_forward.shared.down")?,
        })
    }

    pub(super) fn fits(&self, sizes: &PlainSizes) -> bool {
        let PlainSizes {
            width,
            heads,
            kv_heads,
            head_dim,
            hidden,
            ..
        } = *sizes;
        let all = (heads + 2 * kv_heads) * head_dim;
        let matrices = [
            (&self.qkv, (all, width)),
            (&self.out, (width, heads * head_dim)),
            (&self.gate_up, (2 * hidden, width)),
            (&self.down, (width, hidden)),
        ];
        let rows = [
            (&self.attention_gain, width),
            (&self.feed_forward_gain, width),
            (&self.q_gain, head_dim),
            (&self.k_gain, head_dim),
        ];
        kv_heads > 0
            && heads.is_multiple_of(kv_heads)
            && head_dim > 0
            && head_dim.is_multiple_of(2)
            && matrices
                .iter()
                .all(|(matrix, dims)| matrix.is_repacked() && matrix.dims() == *dims)
            && rows.iter().all(|(row, len)| row.len() == *len)
            && self.bias.as_ref().is_none_or(|bias| bias.len() == all)
    }
}
