//! The network of a judge: a Llama whose logits are wanted at every position, for one text at a time.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ops::{rms_norm, silu, softmax_last_dim};
use candle_nn::rotary_emb::{rope, rope_i};

/// Rows of logits that are made at once, so that a long text does not need the memory for all of them in f64.
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

/// Sizes of the network and how its positions turn.
pub(super) struct Sizes {
    pub(super) layers: usize,
    /// Width of the residual stream.
    pub(super) width: usize,
    /// Hidden width of the feed-forward half and number of tokens, where a file names them.
    pub(super) hidden: Option<usize>,
    pub(super) vocab: Option<usize>,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    /// `None` for the width divided by the heads.
    pub(super) head_dim: Option<usize>,
    pub(super) eps: f64,
    pub(super) rope_base: f64,
    pub(super) pairs: Pairs,
}

/// The heads of a layer.
struct Heads {
    /// Query heads.
    queries: usize,
    /// Key and value heads.
    keys: usize,
    /// Numbers of a head.
    width: usize,
}

impl Heads {
    /// The heads of a network with these sizes, if it can have them.
    fn of(sizes: &Sizes) -> std::result::Result<Self, String> {
        let Sizes {
            width, heads, kv_heads, ..
        } = *sizes;
        if heads == 0 || kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
            return Err(format!("{heads} query heads cannot share {kv_heads} key heads"));
        }
        if sizes.head_dim.is_none() && !width.is_multiple_of(heads) {
            return Err(format!("{heads} heads cannot share a width of {width}"));
        }
        let head = sizes.head_dim.unwrap_or(width / heads);
        if head == 0 || !head.is_multiple_of(2) {
            return Err(format!(
                "its heads have {head} numbers, and positions need an even count"
            ));
        }
        if !(sizes.eps.is_finite() && sizes.eps >= 0.0 && sizes.rope_base.is_finite() && sizes.rope_base >= 1.0) {
            return Err("the base of its positions or the small number of its norms is impossible".to_owned());
        }
        Ok(Self {
            queries: heads,
            keys: kv_heads,
            width: head,
        })
    }
}

/// Which two numbers of a head make a pair that turns together.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pairs {
    /// Number `2i` with its neighbour: GGUF files of this architecture.
    Neighbours,
    /// Number `i` of the first half with number `i` of the second: checkpoints of Hugging Face.
    Halves,
}

/// The tensors of a network; those of layers have the layer's number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Weight {
    Embedding,
    Norm,
    Output,
    AttentionNorm(usize),
    Query(usize),
    Key(usize),
    Value(usize),
    Out(usize),
    FeedForwardNorm(usize),
    Gate(usize),
    Up(usize),
    Down(usize),
}

impl Weight {
    /// Every tensor of a network with so many layers.
    pub(super) fn all(layers: usize) -> impl Iterator<Item = Self> {
        let of_layer = |layer| {
            [
                Self::AttentionNorm,
                Self::Query,
                Self::Key,
                Self::Value,
                Self::Out,
                Self::FeedForwardNorm,
                Self::Gate,
                Self::Up,
                Self::Down,
            ]
            .map(|weight| weight(layer))
        };
        let ends = [Self::Embedding, Self::Norm, Self::Output];
        ends.into_iter().chain((0..layers).flat_map(of_layer))
    }

    /// The shape that the tensor has; a size that cannot be counted is one that no tensor has.
    fn shape(self, width: usize, vocab: usize, hidden: usize, heads: &Heads) -> Vec<usize> {
        let queries = heads.queries.saturating_mul(heads.width);
        let keys = heads.keys.saturating_mul(heads.width);
        match self {
            Self::Embedding | Self::Output => vec![vocab, width],
            Self::Norm | Self::AttentionNorm(_) | Self::FeedForwardNorm(_) => vec![width],
            Self::Query(_) => vec![queries, width],
            Self::Key(_) | Self::Value(_) => vec![keys, width],
            Self::Out(_) => vec![width, queries],
            Self::Gate(_) | Self::Up(_) => vec![hidden, width],
            Self::Down(_) => vec![width, hidden],
        }
    }
}

/// Weights in f32: read once, they are multiplied with whole texts, where quantised products gain nothing.
pub(super) struct Llama {
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: Tensor,
    output: Tensor,
    heads: Heads,
    eps: f32,
    rope_base: f64,
    pairs: Pairs,
}

impl Llama {
    /// Builds the network of what `read` finds; without an output map, one table serves both ends, as in small models.
    ///
    /// # Errors
    /// In words that complete "it cannot be a judge: …": if sizes are impossible, or a tensor is missing or has not the shape
    /// that the sizes give it.
    pub(super) fn new(
        sizes: &Sizes,
        mut read: impl FnMut(Weight) -> std::result::Result<Option<Tensor>, String>,
    ) -> std::result::Result<Self, String> {
        let heads = Heads::of(sizes)?;
        let embedding = read(Weight::Embedding)?.ok_or("a tensor is missing (Embedding)")?;
        let (vocab, _) = embedding.dims2().map_err(|_| "its table of tokens is no matrix")?;
        if sizes.vocab.is_some_and(|named| named != vocab) {
            return Err(format!(
                "it names another number of tokens than the {vocab} of its table"
            ));
        }
        let mut hidden = sizes.hidden;
        let mut fit = |weight, tensor: Tensor| {
            let found = tensor.dims();
            if let (Weight::Gate(_), [rows, _]) = (weight, found) {
                hidden = hidden.or(Some(*rows));
            }
            let wanted = weight.shape(sizes.width, vocab, hidden.unwrap_or_default(), &heads);
            match wanted == found {
                true => Ok(tensor),
                false => Err(format!(
                    "a tensor ({weight:?}) has the shape {found:?} instead of {wanted:?}"
                )),
            }
        };
        let embedding = fit(Weight::Embedding, embedding)?;
        let mut need = |weight| match read(weight)? {
            Some(tensor) => fit(weight, tensor),
            None => Err(format!("a tensor is missing ({weight:?})")),
        };
        let mut layers = Vec::new();
        for layer in 0..sizes.layers {
            layers.push(Layer {
                attention_norm: need(Weight::AttentionNorm(layer))?,
                q: need(Weight::Query(layer))?,
                k: need(Weight::Key(layer))?,
                v: need(Weight::Value(layer))?,
                out: need(Weight::Out(layer))?,
                feed_forward_norm: need(Weight::FeedForwardNorm(layer))?,
                gate: need(Weight::Gate(layer))?,
                up: need(Weight::Up(layer))?,
                down: need(Weight::Down(layer))?,
            });
        }
        let norm = need(Weight::Norm)?;
        let output = match read(Weight::Output)? {
            Some(output) => fit(Weight::Output, output)?,
            None => embedding.clone(),
        };
        Ok(Self {
            embedding,
            layers,
            norm,
            output,
            heads,
            eps: sizes.eps as f32,
            rope_base: sizes.rope_base,
            pairs: sizes.pairs,
        })
    }

    /// How many tokens the network knows.
    pub(super) fn vocab(&self) -> usize {
        self.embedding.dim(0).unwrap_or_default()
    }

    /// `-ln p` of `next`, the tokens behind the positions of `ids` from `from` on, in nats.
    pub(super) fn surprise(&self, ids: &[u32], from: usize, next: &[u32]) -> Result<Vec<f64>> {
        let device = self.embedding.device();
        let mut x = self.embedding.index_select(&Tensor::new(ids, device)?, 0)?;
        let rotation = self.rotation(ids.len())?;
        let mask = mask(ids.len(), device)?;
        for layer in &self.layers {
            x = (self.attention(&x, layer, &rotation, &mask)? + x)?;
            x = (self.feed_forward(&x, layer)? + x)?;
        }
        let x = rms_norm(
            &x.narrow(0, from, ids.len() - from)?.contiguous()?,
            &self.norm,
            self.eps,
        )?;
        let mut nats = Vec::with_capacity(next.len());
        for (part, next) in next.chunks(CHUNK).enumerate() {
            let logits = linear(&x.narrow(0, part * CHUNK, next.len())?, &self.output)?;
            nats.extend(surprise(&logits, next)?);
        }
        Ok(nats)
    }

    fn attention(&self, x: &Tensor, layer: &Layer, (cos, sin): &(Tensor, Tensor), mask: &Tensor) -> Result<Tensor> {
        let Heads {
            queries: heads,
            keys: kv_heads,
            width: head_dim,
        } = self.heads;
        let len = x.dim(0)?;
        let x = rms_norm(x, &layer.attention_norm, self.eps)?;
        let split = |x: Tensor, heads: usize| x.reshape((1, len, heads, head_dim))?.transpose(1, 2)?.contiguous();
        let turn = |x: &Tensor| match self.pairs {
            Pairs::Neighbours => rope_i(x, cos, sin),
            Pairs::Halves => rope(x, cos, sin),
        };
        let q = turn(&split(linear(&x, &layer.q)?, heads)?)?;
        let k = turn(&split(linear(&x, &layer.k)?, kv_heads)?)?;
        let v = split(linear(&x, &layer.v)?, kv_heads)?;
        // Each key head serves a group of query heads.
        let group = heads / kv_heads;
        let repeated = |x: Tensor| {
            let wide = x.unsqueeze(2)?.expand((1, kv_heads, group, len, head_dim))?;
            wide.reshape((1, heads, len, head_dim))
        };
        let scores = (q.matmul(&repeated(k)?.t()?)? * (head_dim as f64).powf(-0.5))?;
        let weights = softmax_last_dim(&scores.broadcast_add(mask)?)?;
        let mixed = weights.matmul(&repeated(v)?)?.transpose(1, 2)?;
        linear(&mixed.reshape((len, heads * head_dim))?, &layer.out)
    }

    fn feed_forward(&self, x: &Tensor, layer: &Layer) -> Result<Tensor> {
        let x = rms_norm(x, &layer.feed_forward_norm, self.eps)?;
        linear(
            &(silu(&linear(&x, &layer.gate)?)? * linear(&x, &layer.up)?)?,
            &layer.down,
        )
    }

    /// Cosines and sines of the angles `position * base^(-2i / head_dim)`, each `[len, head_dim / 2]`.
    fn rotation(&self, len: usize) -> Result<(Tensor, Tensor)> {
        let half = self.heads.width / 2;
        let angle = |position: usize, i: usize| position as f64 * self.rope_base.powf(-(i as f64) / half as f64);
        let angles: Vec<f64> = (0..len)
            .flat_map(|position| (0..half).map(move |i| angle(position, i)))
            .collect();
        let angles = Tensor::from_vec(angles, (len, half), self.embedding.device())?;
        Ok((angles.cos()?.to_dtype(DType::F32)?, angles.sin()?.to_dtype(DType::F32)?))
    }
}

fn linear(x: &Tensor, weights: &Tensor) -> Result<Tensor> {
    x.matmul(&weights.t()?)
}

/// `-ln softmax(logits)` of a token in each row, in f64.
fn surprise(logits: &Tensor, tokens: &[u32]) -> Result<Vec<f64>> {
    let logits = logits.to_dtype(DType::F64)?;
    let most = logits.max_keepdim(1)?;
    let total = logits.broadcast_sub(&most)?.exp()?.sum_keepdim(1)?.log()?;
    let tokens = Tensor::new(tokens, logits.device())?.unsqueeze(1)?;
    let own = logits.gather(&tokens, 1)?;
    ((total + most)? - own)?.flatten_all()?.to_vec1()
}

/// 0 where a position may look, minus infinity where it would look ahead.
fn mask(len: usize, device: &Device) -> Result<Tensor> {
    let look = |query: usize, key: usize| if key <= query { 0.0 } else { f32::NEG_INFINITY };
    let values: Vec<f32> = (0..len)
        .flat_map(|query| (0..len).map(move |key| look(query, key)))
        .collect();
    Tensor::from_vec(values, (len, len), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surprise_is_minus_log_probability() {
        let row = [0.0, 3_f32.ln(), f32::NEG_INFINITY];
        let logits = Tensor::new(&[row, row, row], &Device::Cpu).unwrap();
        let nats = surprise(&logits, &[0, 1, 2]).unwrap();
        assert!((nats[0] - 4_f64.ln()).abs() < 1e-6);
        assert!((nats[1] - (4.0 / 3.0_f64).ln()).abs() < 1e-6);
        assert_eq!(nats[2], f64::INFINITY);
        assert!(surprise(&logits, &[0, 1, 3]).is_err(), "there is no fourth token");
    }
}
