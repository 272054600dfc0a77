//! Plain pre-norm layers for one row on a CPU: what networks compute when they write token by token.
//!
//! One call runs all layers, with threads that stay together between its many short products, and keys and values are read where
//! they lie. The numbers are those of the same layers as operations on tensors, bit for bit.

mod layer;
mod memory;

pub use layer::PlainLayer;
pub use memory::Remembered;

use crate::ops::{Operand, attend, norm_row, rotate};
use crate::quant::{Rounded, rounded};
use crate::team::Team;
use crate::{Error, Result, Rotary, simd};

const NAME: &str = "plain layers";

/// Numbers of keys up to which one thread attends alone.
const ALONE: usize = 1 << 14;

/// Layers `x + attention(norm(x))`, then `x + swiglu(norm(x))`, in blocks of a few bits.
#[derive(Debug)]
pub struct PlainLayers {
    layers: Vec<PlainLayer>,
    sizes: PlainSizes,
}

/// Sizes of [`PlainLayers`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlainSizes {
    /// Width of the residual stream.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Width inside the feed-forward half.
    pub hidden: usize,
    /// Added to mean squares of the stream before the root.
    pub norm_eps: f64,
    /// The same of head vectors of queries and keys; without it they are not normed.
    pub head_eps: Option<f32>,
}

impl PlainLayers {
    /// Layers of these sizes; `None` if one does not fit them or has a matrix that is not repacked.
    #[must_use]
    pub fn new(layers: Vec<PlainLayer>, sizes: PlainSizes) -> Option<Self> {
        let fit = layers.iter().all(|layer| layer.fits(&sizes));
        (fit && !layers.is_empty()).then_some(Self { layers, sizes })
    }

    /// The residual stream behind the last layer, of the row whose stream `x` (`[width]`) enters the first one. Its keys and
    /// values are put into `memory`, and it reads those that are seen.
    ///
    /// # Errors
    /// If shapes do not fit, or a tensor is not f32 on the CPU.
    pub fn forward(&self, x: &[f32], rotary: &Rotary, memory: &Remembered<'_>) -> Result<Vec<f32>> {
        let PlainSizes { width, head_dim, .. } = self.sizes;
        let angles = [&rotary.cos, &rotary.sin];
        let fit = angles.iter().all(|angles| angles.elem_count() == head_dim / 2);
        if x.len() != width || !fit || memory.layers() != self.layers.len() {
            let problem = format!("{} numbers, angles {angles:?}, {} memories", x.len(), memory.layers());
            return Err(Error::shape(NAME, problem));
        }
        let angles = angles.map(|angles| Operand::new(NAME, angles));
        let [cos, sin] = [angles[0].slice()?, angles[1].slice()?];
        let mut pass = Pass {
            team: Team::new(),
            sizes: self.sizes,
            angles: [cos, sin],
            stream: x.to_vec(),
            normed: vec![0.0; width],
            delta: vec![0.0; width],
        };
        for (index, layer) in self.layers.iter().enumerate() {
            pass.attention(layer, memory, index)?;
            pass.feed_forward(layer);
        }
        Ok(pass.stream)
    }
}

/// A row on its way through the layers.
struct Pass<'a> {
    team: Team,
    sizes: PlainSizes,
    angles: [&'a [f32]; 2],
    stream: Vec<f32>,
    normed: Vec<f32>,
    delta: Vec<f32>,
}

impl Pass<'_> {
    fn attention(&mut self, layer: &PlainLayer, memory: &Remembered<'_>, index: usize) -> Result<()> {
        let PlainSizes {
            heads,
            kv_heads,
            head_dim,
            head_eps,
            ..
        } = self.sizes;
        let x = self.norm(&layer.attention_gain);
        let mut qkv = vec![0.0; (heads + 2 * kv_heads) * head_dim];
        layer.qkv.product_together(&mut self.team, &x, &mut qkv);
        if let Some(bias) = &layer.bias {
            qkv.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
        }
        let mut turned = vec![0.0; (heads + kv_heads) * head_dim];
        for (head, (out, x)) in turned.chunks_mut(head_dim).zip(qkv.chunks(head_dim)).enumerate() {
            let gain = if head < heads { &layer.q_gain } else { &layer.k_gain };
            norm_row(out, x, gain, head_eps);
            rotate(out, self.angles[0], self.angles[1], 1.0);
        }
        let (q, k) = turned.split_at(heads * head_dim);
        memory.put(index, k, &qkv[(heads + kv_heads) * head_dim..])?;
        let operands = memory.operands(index);
        let of_head = |head: usize| memory.of_head(&operands, head / (heads / kv_heads), head_dim);
        // Sizes are checked before threads share them.
        let all = (0..heads).map(of_head).collect::<Result<Vec<_>>>()?;
        let scale = (head_dim as f64).powf(-0.5) as f32;
        let mut mixed = vec![0.0; heads * head_dim];
        let alone = memory.seen() * kv_heads * head_dim <= ALONE;
        let chunk = if alone { mixed.len() } else { head_dim };
        self.team.each_chunk(&mut mixed, chunk, |place, out| {
            for (at, out) in out.chunks_mut(head_dim).enumerate() {
                let head = place + at;
                attend(out, &q[head * head_dim..][..head_dim], all[head], scale);
            }
        });
        let mixed = rounded(&mixed);
        layer.out.product_together(&mut self.team, &mixed, &mut self.delta);
        simd::add(&mut self.stream, &self.delta);
        Ok(())
    }

    fn feed_forward(&mut self, layer: &PlainLayer) {
        let hidden = self.sizes.hidden;
        let x = self.norm(&layer.feed_forward_gain);
        let mut both = vec![0.0; 2 * hidden];
        layer.gate_up.product_together(&mut self.team, &x, &mut both);
        let mut gated = vec![0.0; hidden];
        let (gate, up) = both.split_at(hidden);
        simd::silu_times(&mut gated, gate, up);
        layer
            .down
            .product_together(&mut self.team, &rounded(&gated), &mut self.delta);
        simd::add(&mut self.stream, &self.delta);
    }

    /// The stream normed, in blocks.
    fn norm(&mut self, gain: &[f32]) -> Rounded {
        norm_row(&mut self.normed, &self.stream, gain, Some(self.sizes.norm_eps as f32));
        rounded(&self.normed)
    }
}
