//! Attention of queries one by one: the scores of the keys that a query sees, side by side, one softmax, and one walk over the values.
//!
//! So a query has the same bits whatever other queries and keys the pass has beside those that it sees. Rows that are rounded to few bits
//! behind it would make much of a last bit.

use super::shape::{Inputs, positions};
use crate::gemm::Mat;
use crate::plan::{TILE, allowed, split};
use crate::simd;
use rayon::prelude::*;
use std::ops::Range;

/// [`super::forward::forward`] query by query.
pub(super) fn forward(inputs: &Inputs<'_>) -> (Vec<f32>, Vec<f32>) {
    let h = inputs.heads;
    let seen: Vec<Vec<Range<usize>>> = (0..h.batch * h.queries)
        .map(|query| seen(inputs, query / h.queries, query % h.queries))
        .collect();
    let mut out = vec![0.0; h.batch * h.queries * h.heads * h.width];
    let sums: Vec<f32> = out
        .par_chunks_mut(h.width.max(1))
        .enumerate()
        .map_init(Vec::new, |scores, (task, out)| {
            let (query, head) = (task / h.heads, task % h.heads);
            let (batch, at) = (query / h.queries, query % h.queries);
            let (q, _) = positions(inputs.q, batch, head, inputs.of_queries(), &(at..at + 1)).lines();
            scores.clear();
            for keys in &seen[query] {
                let first = scores.len();
                scores.resize(first + keys.len(), 0.0);
                let keys = inputs.of_seat(inputs.k, batch, head, keys);
                score(&mut scores[first..], &q[..h.width], keys, inputs.scale);
            }
            let (peak, sum) = soften(scores);
            let mut weights = &scores[..];
            for keys in &seen[query] {
                let (here, rest) = weights.split_at(keys.len());
                weigh(out, here, inputs.of_seat(inputs.v, batch, head, keys));
                weights = rest;
            }
            settle(out, sum);
            peak + sum.ln()
        })
        .collect();
    // From `[B, T, H]` to `[B, H, T]`.
    let places = (0..h.batch).flat_map(|batch| (0..h.heads).map(move |head| (batch, head)));
    let lse = places.flat_map(|(batch, head)| (0..h.queries).map(move |at| (batch * h.queries + at) * h.heads + head));
    (out, lse.map(|place| sums[place]).collect())
}

/// The keys that a query of a batch entry sees, ascending.
fn seen(inputs: &Inputs<'_>, batch: usize, query: usize) -> Vec<Range<usize>> {
    let code = inputs.query_code(batch, query);
    let mut seen: Vec<Range<usize>> = Vec::new();
    let mut see = |keys: Range<usize>| match seen.last_mut() {
        Some(last) if last.end == keys.start => last.end = keys.end,
        _ => seen.push(keys),
    };
    let row = inputs.sequence(batch) * inputs.plan.query_tiles() + query / TILE;
    for &entry in inputs.plan.rows().row(row) {
        let (tile, partial) = split(entry);
        let keys = tile * TILE..((tile + 1) * TILE).min(inputs.keys(batch));
        match code.filter(|_| partial) {
            None => see(keys),
            Some(code) => {
                let codes = keys.clone().zip(inputs.key_codes(batch, &keys));
                let seen = codes.filter(|(_, other)| allowed(code, **other));
                seen.for_each(|(key, _)| see(key..key + 1));
            }
        }
    }
    seen
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
