//! The network of a judge: a Llama whose logits are wanted at every position, for one text at a time.

use std::io::{Read, Seek};

use candle_core::quantized::gguf_file::Content;
use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::{rms_norm, silu, softmax_last_dim};
use candle_nn::rotary_emb::rope_i;

/// Rows of logits that are made at once, so that a long text does not need the memory for all of them.
const CHUNK: usize = 64;

struct Layer {
    attention_norm: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    feed_forward_norm: Tensor,
    gate: Tensor,
    up: Tensor,
    down: Tensor,
}

/// Weights in f32: read once, they are multiplied with whole texts, where quantised products gain nothing.
pub(super) struct Llama {
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: Tensor,
    output: Tensor,
    heads: usize,
    kv_heads: usize,
    eps: f32,
    rope_base: f64,
}

impl Llama {
    /// Reads the tensors of a GGUF file of the architecture `llama`.
    pub(super) fn read<R: Read + Seek>(content: &Content, file: &mut R) -> Result<Self> {
        let number = |key: &str| match content.metadata.get(key) {
            Some(value) => value.to_u32().map(|value| value as usize),
            None => candle_core::bail!("it has no `{key}`"),
        };
        let float = |key: &str| content.metadata.get(key).and_then(|value| value.to_f32().ok());
        let mut tensor = |name: &str| content.tensor(file, name, &Device::Cpu)?.dequantize(&Device::Cpu);
        let embedding = tensor("token_embd.weight")?;
        let layers = (0..number("llama.block_count")?).map(|layer| {
            let mut of = |name: &str| tensor(&format!("blk.{layer}.{name}.weight"));
            Ok(Layer {
                attention_norm: of("attn_norm")?,
                q: of("attn_q")?,
                k: of("attn_k")?,
                v: of("attn_v")?,
                out: of("attn_output")?,
                feed_forward_norm: of("ffn_norm")?,
                gate: of("ffn_gate")?,
                up: of("ffn_up")?,
                down: of("ffn_down")?,
            })
        });
        let layers = layers.collect::<Result<_>>()?;
        let norm = tensor("output_norm.weight")?;
        // Small models use one table for both ends.
        let output = match content.tensor_infos.contains_key("output.weight") {
            true => tensor("output.weight")?,
            false => embedding.clone(),
        };
        Ok(Self {
            embedding,
            layers,
            norm,
            output,
            heads: number("llama.attention.head_count")?,
            kv_heads: number("llama.attention.head_count_kv")?,
            eps: float("llama.attention.layer_norm_rms_epsilon").unwrap_or(1e-5),
            rope_base: float("llama.rope.freq_base").map_or(10_000.0, f64::from),
        })
    }

    /// Logits of the positions from `from` on, one row each.
    pub(super) fn logits(&self, ids: &[u32], from: usize) -> Result<Vec<Vec<f32>>> {
        let mut x = self.embedding.index_select(&Tensor::new(ids, &Device::Cpu)?, 0)?;
        let rotation = self.rotation(ids.len())?;
        let mask = mask(ids.len())?;
        for layer in &self.layers {
            x = (self.attention(&x, layer, &rotation, &mask)? + x)?;
            x = (self.feed_forward(&x, layer)? + x)?;
        }
        let x = rms_norm(
            &x.narrow(0, from, ids.len() - from)?.contiguous()?,
            &self.norm,
            self.eps,
        )?;
        let mut rows = Vec::with_capacity(x.dim(0)?);
        for first in (0..x.dim(0)?).step_by(CHUNK) {
            let count = CHUNK.min(x.dim(0)? - first);
            rows.extend(linear(&x.narrow(0, first, count)?, &self.output)?.to_vec2::<f32>()?);
        }
        Ok(rows)
    }

    fn attention(&self, x: &Tensor, layer: &Layer, (cos, sin): &(Tensor, Tensor), mask: &Tensor) -> Result<Tensor> {
        let (len, width) = x.dims2()?;
        let head_dim = width / self.heads;
        let x = rms_norm(x, &layer.attention_norm, self.eps)?;
        let split = |x: Tensor, heads: usize| x.reshape((1, len, heads, head_dim))?.transpose(1, 2)?.contiguous();
        let q = rope_i(&split(linear(&x, &layer.q)?, self.heads)?, cos, sin)?;
        let k = rope_i(&split(linear(&x, &layer.k)?, self.kv_heads)?, cos, sin)?;
        let v = split(linear(&x, &layer.v)?, self.kv_heads)?;
        // Each key head serves a group of query heads.
        let group = self.heads / self.kv_heads;
        let repeated = |x: Tensor| {
            let wide = x.unsqueeze(2)?.expand((1, self.kv_heads, group, len, head_dim))?;
            wide.reshape((1, self.heads, len, head_dim))
        };
        let scores = (q.matmul(&repeated(k)?.t()?)? * (head_dim as f64).powf(-0.5))?;
        let weights = softmax_last_dim(&scores.broadcast_add(mask)?)?;
        let mixed = weights.matmul(&repeated(v)?)?.transpose(1, 2)?.reshape((len, width))?;
        linear(&mixed, &layer.out)
    }

    fn feed_forward(&self, x: &Tensor, layer: &Layer) -> Result<Tensor> {
        let x = rms_norm(x, &layer.feed_forward_norm, self.eps)?;
        linear(
            &(silu(&linear(&x, &layer.gate)?)? * linear(&x, &layer.up)?)?,
            &layer.down,
        )
    }

    /// Cosines and sines of the angles `position * base^(-2i / head_dim)`, each `[len, head_dim / 2]`. GGUF files of this
    /// architecture hold queries and keys with the two numbers of a pair side by side.
    fn rotation(&self, len: usize) -> Result<(Tensor, Tensor)> {
        let half = self.embedding.dim(D::Minus1)? / self.heads / 2;
        let angle = |position: usize, i: usize| position as f64 * self.rope_base.powf(-(i as f64) / half as f64);
        let angles: Vec<f64> = (0..len)
            .flat_map(|position| (0..half).map(move |i| angle(position, i)))
            .collect();
        let angles = Tensor::from_vec(angles, (len, half), &Device::Cpu)?;
        Ok((angles.cos()?.to_dtype(DType::F32)?, angles.sin()?.to_dtype(DType::F32)?))
    }
}

fn linear(x: &Tensor, weights: &Tensor) -> Result<Tensor> {
    x.matmul(&weights.t()?)
}

/// 0 where a position may look, minus infinity where it would look ahead.
fn mask(len: usize) -> Result<Tensor> {
    let look = |query: usize, key: usize| if key <= query { 0.0 } else { f32::NEG_INFINITY };
    let values: Vec<f32> = (0..len)
        .flat_map(|query| (0..len).map(move |key| look(query, key)))
        .collect();
    Tensor::from_vec(values, (len, len), &Device::Cpu)
}
