//! The backward pass: scores are made again, weights come from the log-sum-exp.
//!
//! The queries' gradient runs over the plan's rows, that of keys and values over its transpose; every sum has one
//! owner and a fixed order, so threads cannot change it.

use super::forward::hide_partial;
use super::shape::{Heads, Inputs, gather, hide, positions, runs, span};
use super::{Attention, NAME};
use crate::gemm::{Mat, Threads, product};
use crate::ops::cpu::{Operand, Rows};
use crate::plan::{TILE, TilePlan, split};
use crate::simd;
use candle_core::{Result, Tensor};
use rayon::prelude::*;
use std::ops::Range;

/// Tiles in one product.
const RUN: usize = 4;

/// Gradients of q, k and v, laid out like them, from those of the output and, if there is one, of the log-sum-exp.
pub(super) fn backward(
    [q, k, v]: [&Tensor; 3],
    Attention { out, lse }: &Attention,
    (dout, dlse): (&Tensor, Option<&Tensor>),
    heads: Heads,
    plan: &TilePlan,
    scale: f32,
) -> Result<(Vec<f32>, Vec<f32>, Vec<f32>)> {
    let [q, k, v, out, dout, lse] = [q, k, v, out, dout, lse].map(|tensor| Operand::new(NAME, tensor));
    let inputs = Inputs {
        q: &q.rows()?,
        k: &k.rows()?,
        v: &v.rows()?,
        heads,
        plan,
        scale,
    };
    let dout = dout.rows()?;
    let mut delta = row_dots(heads, &out.rows()?, &dout);
    if let Some(dlse) = dlse {
        // The log-sum-exp's own gradient is the weights.
        let dlse = dlse.contiguous()?;
        let dlse = Operand::new(NAME, &dlse);
        delta
            .iter_mut()
            .zip(dlse.slice()?)
            .for_each(|(delta, dlse)| *delta -= dlse);
    }
    let gradient = Gradient {
        inputs,
        dout: &dout,
        lse: lse.slice()?,
        delta: &delta,
    };
    let dq = gradient.queries();
    let (dk, dv) = gradient.keys();
    Ok((dq, dk, dv))
}

/// `<out, dout>` of every query, `[B, H, T]`: the mean that the softmax's gradient subtracts.
fn row_dots(h: Heads, out: &Rows<'_>, dout: &Rows<'_>) -> Vec<f32> {
    (0..h.batch * h.heads * h.queries)
        .into_par_iter()
        .map(|index| {
            let (row, query) = (index / h.queries, index % h.queries);
            let at = (row / h.heads * h.queries + query) * h.heads + row % h.heads;
            simd::dot(out.row(at), dout.row(at))
        })
        .collect()
}

struct Gradient<'a> {
    inputs: Inputs<'a>,
    dout: &'a Rows<'a>,
    lse: &'a [f32],
    delta: &'a [f32],
}

/// Buffers that a thread keeps between tasks.
#[derive(Default)]
struct Scratch {
    weights: Vec<f32>,
    gradient: Vec<f32>,
}

impl Gradient<'_> {
    fn queries(&self) -> Vec<f32> {
        let h = self.inputs.heads;
        let tiles = self.inputs.plan.query_tiles();
        let results: Vec<Vec<f32>> = (0..h.batch * h.heads * tiles)
            .into_par_iter()
            .map_init(Scratch::default, |scratch, task| {
                let (batch, head, tile) = (task / tiles / h.heads, task / tiles % h.heads, task % tiles);
                self.query_tile(batch, head, tile, scratch)
            })
            .collect();
        gather(&results, h.batch, h.queries, h.heads, h.width)
    }

    fn query_tile(&self, batch: usize, head: usize, tile: usize, scratch: &mut Scratch) -> Vec<f32> {
        let inputs = &self.inputs;
        let h = inputs.heads;
        let queries = tile * TILE..((tile + 1) * TILE).min(h.queries);
        let mut dq = vec![0.0; queries.len() * h.width];
        let row = inputs.sequence(batch) * inputs.plan.query_tiles() + tile;
        for run in runs(inputs.plan.rows().row(row), RUN) {
            let keys = span(run, h.keys);
            let hide = |scores: &mut [f32]| hide_partial(inputs, scores, batch, &queries, &keys, run);
            self.block(batch, head, &queries, &keys, hide, scratch);
            self.scores_gradient(batch, head, &queries, scratch);
            let gradient = Mat::rows(&scratch.weights, queries.len(), keys.len(), keys.len());
            let k = positions(inputs.k, batch, head / h.group(), inputs.of_keys(), &keys);
            product(&mut dq, h.width, 1.0, inputs.scale, gradient, k, Threads::One);
        }
        dq
    }

    fn keys(&self) -> (Vec<f32>, Vec<f32>) {
        let h = self.inputs.heads;
        let tiles = self.inputs.plan.key_tiles();
        let results: Vec<(Vec<f32>, Vec<f32>)> = (0..h.batch * h.key_heads * tiles)
            .into_par_iter()
            .map_init(Scratch::default, |scratch, task| {
                let (batch, head, tile) = (task / tiles / h.key_heads, task / tiles % h.key_heads, task % tiles);
                self.key_tile(batch, head, tile, scratch)
            })
            .collect();
        let (dk, dv): (Vec<_>, Vec<_>) = results.into_iter().unzip();
        let gather = |tiles: &[Vec<f32>]| gather(tiles, h.batch, h.keys, h.key_heads, h.width);
        (gather(&dk), gather(&dv))
    }

    fn key_tile(&self, batch: usize, key_head: usize, tile: usize, scratch: &mut Scratch) -> (Vec<f32>, Vec<f32>) {
        let inputs = &self.inputs;
        let h = inputs.heads;
        let keys = tile * TILE..((tile + 1) * TILE).min(h.keys);
        let mut dk = vec![0.0; keys.len() * h.width];
        let mut dv = dk.clone();
        let column = inputs
            .plan
            .cols()
            .row(inputs.sequence(batch) * inputs.plan.key_tiles() + tile);
        for head in key_head * h.group()..(key_head + 1) * h.group() {
            for run in runs(column, RUN) {
                let queries = span(run, h.queries);
                let hide = |scores: &mut [f32]| self.hide_column(scores, batch, &queries, &keys, run);
                self.block(batch, head, &queries, &keys, hide, scratch);
                let dout = positions(self.dout, batch, head, inputs.of_queries(), &queries);
                let weights = Mat::rows(&scratch.weights, queries.len(), keys.len(), keys.len());
                product(&mut dv, h.width, 1.0, 1.0, weights.t(), dout, Threads::One);
                self.scores_gradient(batch, head, &queries, scratch);
                let gradient = Mat::rows(&scratch.weights, queries.len(), keys.len(), keys.len());
                let q = positions(inputs.q, batch, head, inputs.of_queries(), &queries);
                product(&mut dk, h.width, 1.0, inputs.scale, gradient.t(), q, Threads::One);
            }
        }
        (dk, dv)
    }

    /// Applies the rule to the partial tiles of a run of query tiles.
    fn hide_column(&self, scores: &mut [f32], batch: usize, queries: &Range<usize>, keys: &Range<usize>, run: &[u32]) {
        for (index, &entry) in run.iter().enumerate() {
            if split(entry).1 {
                let first = index * TILE;
                let tile = queries.start + first..(queries.start + first + TILE).min(queries.end);
                let codes = self.inputs.query_codes(batch, &tile);
                hide(
                    &mut scores[first * keys.len()..],
                    keys.len(),
                    codes,
                    self.inputs.key_codes(batch, keys),
                );
            }
        }
    }

    /// Softmax weights of a block into `scratch.weights`, and their gradient `dout v^T` into `scratch.gradient`.
    fn block(
        &self,
        batch: usize,
        head: usize,
        queries: &Range<usize>,
        keys: &Range<usize>,
        hide: impl FnOnce(&mut [f32]),
        scratch: &mut Scratch,
    ) {
        let (inputs, h) = (&self.inputs, self.inputs.heads);
        let size = queries.len() * keys.len();
        scratch.weights.resize(size, 0.0);
        scratch.gradient.resize(size, 0.0);
        inputs.scores(&mut scratch.weights, batch, head, queries, keys);
        hide(&mut scratch.weights);
        for (row, query) in scratch.weights.chunks_mut(keys.len()).zip(queries.clone()) {
            let lse = self.lse[(batch * h.heads + head) * h.queries + query];
            if lse == f32::NEG_INFINITY {
                row.fill(0.0);
            } else {
                simd::exp_shifted(row, lse);
            }
        }
        let dout = positions(self.dout, batch, head, inputs.of_queries(), queries);
        let v = positions(inputs.v, batch, head / h.group(), inputs.of_keys(), keys);
        product(&mut scratch.gradient, keys.len(), 0.0, 1.0, dout, v.t(), Threads::One);
    }

    /// Turns the weights of a block into the gradient of its scaled scores.
    fn scores_gradient(&self, batch: usize, head: usize, queries: &Range<usize>, scratch: &mut Scratch) {
        let h = self.inputs.heads;
        let width = scratch.weights.len() / queries.len();
        let rows = scratch.weights.chunks_mut(width).zip(scratch.gradient.chunks(width));
        for ((weights, gradient), query) in rows.zip(queries.clone()) {
            let delta = self.delta[(batch * h.heads + head) * h.queries + query];
            simd::softmax_backward(weights, gradient, delta);
        }
    }
}
