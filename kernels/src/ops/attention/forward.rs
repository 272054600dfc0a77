//! The forward pass: one task for each (batch entry, head, query tile).

use super::row;
use super::shape::{Inputs, gather, hide, runs, span};
use crate::gemm::{Mat, Threads, product};
use crate::plan::{TILE, split};
use crate::simd;
use rayon::prelude::*;
use std::ops::Range;

/// Key tiles in one product.
const RUN: usize = 8;

/// Output `[B, T, H, D]` and log-sum-exp `[B, H, T]`.
pub(super) fn forward(inputs: &Inputs<'_>) -> (Vec<f32>, Vec<f32>) {
    let h = inputs.heads;
    if inputs.plan.is_query_by_query() {
        return row::forward(inputs);
    }
    let tiles = inputs.plan.query_tiles();
    let results: Vec<(Vec<f32>, Vec<f32>)> = (0..h.batch * h.heads * tiles)
        .into_par_iter()
        .map_init(Vec::new, |scores, task| {
            let (batch, head, tile) = (task / tiles / h.heads, task / tiles % h.heads, task % tiles);
            attend(inputs, batch, head, tile, scores)
        })
        .collect();
    // Tasks run head by head and tile by tile, so the log-sum-exps are in order already.
    let lse = results.iter().flat_map(|(_, lse)| lse).copied().collect();
    let out: Vec<Vec<f32>> = results.into_iter().map(|(out, _)| out).collect();
    (gather(&out, h.batch, h.queries, h.heads, h.width), lse)
}

/// Running maximum and sum of one query's softmax.
#[derive(Clone, Copy)]
struct Softmax {
    peak: f32,
    sum: f32,
}

/// Output and log-sum-exp of one query tile of one head.
fn attend(inputs: &Inputs<'_>, batch: usize, head: usize, tile: usize, scores: &mut Vec<f32>) -> (Vec<f32>, Vec<f32>) {
    let h = inputs.heads;
    let queries = tile * TILE..((tile + 1) * TILE).min(h.queries);
    let mut out = vec![0.0; queries.len() * h.width];
    let mut state = vec![
        Softmax {
            peak: f32::NEG_INFINITY,
            sum: 0.0
        };
        queries.len()
    ];
    let row = inputs.sequence(batch) * inputs.plan.query_tiles() + tile;
    for run in runs(inputs.plan.rows().row(row), RUN) {
        let keys = span(run, inputs.keys(batch));
        scores.resize(queries.len() * keys.len(), 0.0);
        inputs.scores(scores, batch, head, &queries, &keys);
        hide_partial(inputs, scores, batch, &queries, &keys, run);
        for ((scores, state), out) in scores
            .chunks_mut(keys.len())
            .zip(&mut state)
            .zip(out.chunks_mut(h.width.max(1)))
        {
            update(state, scores, out);
        }
        let weights = Mat::rows(scores, queries.len(), keys.len(), keys.len());
        let v = inputs.of_seat(inputs.v, batch, head, &keys);
        product(&mut out, h.width, 1.0, 1.0, weights, v, Threads::One);
    }
    for (state, out) in state.iter().zip(out.chunks_mut(h.width.max(1))) {
        if state.sum > 0.0 {
            simd::scale(out, state.sum.recip());
        }
    }
    let lse = state.iter().map(|state| state.peak + state.sum.ln()).collect();
    (out, lse)
}

/// Applies the rule to the partial tiles of a run of key tiles.
pub(super) fn hide_partial(
    inputs: &Inputs<'_>,
    scores: &mut [f32],
    batch: usize,
    queries: &Range<usize>,
    keys: &Range<usize>,
    run: &[u32],
) {
    for (index, &entry) in run.iter().enumerate() {
        if split(entry).1 {
            let first = index * TILE;
            let tile = keys.start + first..(keys.start + first + TILE).min(keys.end);
            let codes = inputs.key_codes(batch, &tile);
            hide(
                &mut scores[first..],
                keys.len(),
                inputs.query_codes(batch, queries),
                codes,
            );
        }
    }
}

/// Turns new scores into weights under a maximum that may have grown, and rescales what was summed before.
fn update(state: &mut Softmax, scores: &mut [f32], out: &mut [f32]) {
    let peak = state.peak.max(simd::max(scores));
    if peak == f32::NEG_INFINITY {
        scores.fill(0.0);
        return;
    }
    if peak > state.peak {
        let shrink = (state.peak - peak).exp();
        state.sum *= shrink;
        simd::scale(out, shrink);
        state.peak = peak;
    }
    state.sum += simd::exp_shifted(scores, peak);
}
