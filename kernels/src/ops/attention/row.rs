//! Attention of single queries: their scores side by side, one softmax, and one walk over the values.

use super::forward::hide_partial;
use super::shape::{Inputs, positions, runs, span};
use crate::gemm::Mat;
use crate::simd;
use rayon::prelude::*;

/// [`super::forward::forward`] of one query in each sequence.
pub(super) fn forward(inputs: &Inputs<'_>) -> (Vec<f32>, Vec<f32>) {
    let h = inputs.heads;
    let mut out = vec![0.0; h.batch * h.heads * h.width];
    let mut lse = vec![0.0; h.batch * h.heads];
    out.par_chunks_mut(h.width.max(1))
        .zip(&mut lse)
        .enumerate()
        .for_each_init(Vec::new, |scores, (task, (out, lse))| {
            let (batch, head) = (task / h.heads, task % h.heads);
            let (q, _) = positions(inputs.q, batch, head, inputs.of_queries(), &(0..1)).lines();
            let entries = inputs
                .plan
                .rows()
                .row(inputs.sequence(batch) * inputs.plan.query_tiles());
            let runs = || runs(entries, usize::MAX).map(|run| (run, span(run, inputs.keys(batch))));
            scores.clear();
            for (run, keys) in runs() {
                let first = scores.len();
                scores.resize(first + keys.len(), 0.0);
                let scores = &mut scores[first..];
                score(
                    scores,
                    &q[..h.width],
                    inputs.of_seat(inputs.k, batch, head, &keys),
                    inputs.scale,
                );
                hide_partial(inputs, scores, batch, &(0..1), &keys, run);
            }
            let (peak, sum) = soften(scores);
            let mut weights = &scores[..];
            for (_, keys) in runs() {
                let (here, rest) = weights.split_at(keys.len());
                weigh(out, here, inputs.of_seat(inputs.v, batch, head, &keys));
                weights = rest;
            }
            settle(out, sum);
            *lse = peak + sum.ln();
        });
    (out, lse)
}

/// One query over all of some keys, `[count, width]` as matrices like their values; the same bits as by a plan.
pub(crate) fn attend(out: &mut [f32], q: &[f32], [keys, values]: [Mat<'_>; 2], scale: f32) {
    let mut scores = vec![0.0; keys.len()];
    score(&mut scores, q, keys, scale);
    let (_, sum) = soften(&mut scores);
    out.fill(0.0);
    weigh(out, &scores, values);
    settle(out, sum);
}

fn score(scores: &mut [f32], q: &[f32], keys: Mat<'_>, scale: f32) {
    let (rows, stride) = keys.lines();
    simd::row_products(scores, q, rows, stride, scale);
}

/// Turns scores into weights; returns the maximum and the sum of the weights.
fn soften(scores: &mut [f32]) -> (f32, f32) {
    let peak = simd::max(scores);
    if peak == f32::NEG_INFINITY {
        scores.fill(0.0);
        return (peak, 0.0);
    }
    (peak, simd::exp_shifted(scores, peak))
}

fn weigh(out: &mut [f32], weights: &[f32], values: Mat<'_>) {
    let (rows, stride) = values.lines();
    simd::add_weighted(out, weights, rows, stride);
}

fn settle(out: &mut [f32], sum: f32) {
    if sum > 0.0 {
        simd::scale(out, sum.recip());
    }
}
