//! The sizes of an attention call, and its operands as matrices.

use crate::gemm::{Mat, Threads, product};
use crate::ops::cpu::Rows;
use crate::plan::{KeyCode, QueryCode, TILE, TilePlan, allowed, split};
use std::ops::Range;

/// The sizes; checked once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    pub(super) batch: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) heads: usize,
    pub(super) key_heads: usize,
    pub(super) width: usize,
}

impl Heads {
    pub(super) fn new(q: &[usize], k: &[usize], v: &[usize], plan: &TilePlan) -> Result<Self, String> {
        let (&[batch, queries, heads, width], &[key_batch, keys, key_heads, key_width]) = (q, k) else {
            return Err(format!("queries {q:?} and keys {k:?} must have four dimensions"));
        };
        let seats = plan.seats();
        let tensors = if seats.is_empty() { batch } else { 1 };
        if k != v || key_batch != tensors || key_width != width {
            return Err(format!("queries {q:?}, keys {k:?}, values {v:?}"));
        }
        if let Some(seat) = seats.iter().find(|seat| seat.end > keys) {
            return Err(format!("keys {seat:?} of {keys}"));
        }
        let keys = if seats.is_empty() { keys } else { plan.keys() };
        if key_heads == 0 || !heads.is_multiple_of(key_heads) {
            return Err(format!("{heads} query heads over {key_heads} key heads"));
        }
        if plan.queries() != queries || plan.keys() != keys || (plan.sequences() != 1 && plan.sequences() != batch) {
            return Err(format!(
                "a plan of {} x {} queries by {} keys for queries {q:?} and keys {k:?}",
                plan.sequences(),
                plan.queries(),
                plan.keys()
            ));
        }
        Ok(Self {
            batch,
            queries,
            keys,
            heads,
            key_heads,
            width,
        })
    }

    /// Query heads that read one key head.
    pub(super) fn group(&self) -> usize {
        self.heads / self.key_heads
    }
}

/// Queries, keys and values with the plan that joins them.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) q: &'a Rows<'a>,
    pub(super) k: &'a Rows<'a>,
    pub(super) v: &'a Rows<'a>,
    pub(super) heads: Heads,
    pub(super) plan: &'a TilePlan,
    pub(super) scale: f32,
}

/// Positions of one head in a tensor `[B, length, heads, D]`, as a matrix of one position a row.
pub(super) fn positions<'a>(
    x: &'a Rows<'_>,
    batch: usize,
    head: usize,
    [length, heads]: [usize; 2],
    range: &Range<usize>,
) -> Mat<'a> {
    let (data, stride) = x.tail_at((batch * length + range.start) * heads + head, 1);
    Mat::rows(data, range.len(), x.width(), stride)
}

impl<'a> Inputs<'a> {
    /// `[length, heads]` of tensors shaped like the queries.
    pub(super) fn of_queries(&self) -> [usize; 2] {
        [self.heads.queries, self.heads.heads]
    }

    /// `[length, heads]` of tensors shaped like the keys.
    pub(super) fn of_keys(&self) -> [usize; 2] {
        [self.heads.keys, self.heads.key_heads]
    }

    /// Keys of a batch entry.
    pub(super) fn keys(&self, batch: usize) -> usize {
        self.plan.seats().get(batch).map_or(self.heads.keys, Range::len)
    }

    /// Some keys, or values, of one head, as a matrix of one position a row.
    pub(super) fn of_seat(&self, x: &'a Rows<'_>, batch: usize, head: usize, range: &Range<usize>) -> Mat<'a> {
        let (batch, range) = match self.plan.seats().get(batch) {
            None => (batch, range.clone()),
            Some(seat) => (0, seat.start + range.start..seat.start + range.end),
        };
        positions(x, batch, head / self.heads.group(), self.of_keys(), &range)
    }

    /// Which of the plan's sequences serves this batch entry.
    pub(super) fn sequence(&self, batch: usize) -> usize {
        if self.plan.sequences() == 1 { 0 } else { batch }
    }

    pub(super) fn query_codes(&self, batch: usize, range: &Range<usize>) -> &'a [QueryCode] {
        let start = self.sequence(batch) * self.heads.queries;
        &self.plan.query_codes()[start + range.start..start + range.end]
    }

    /// The code of one query; none where codes would decide nothing.
    pub(super) fn query_code(&self, batch: usize, query: usize) -> Option<QueryCode> {
        let place = self.sequence(batch) * self.heads.queries + query;
        self.plan.query_codes().get(place).copied()
    }

    pub(super) fn key_codes(&self, batch: usize, range: &Range<usize>) -> &'a [KeyCode] {
        let start = self.sequence(batch) * self.heads.keys;
        &self.plan.key_codes()[start + range.start..start + range.end]
    }

    /// Scaled scores of a query range against a key range, before the rule.
    pub(super) fn scores(
        &self,
        out: &mut [f32],
        batch: usize,
        head: usize,
        queries: &Range<usize>,
        keys: &Range<usize>,
    ) {
        let q = positions(self.q, batch, head, self.of_queries(), queries);
        let k = self.of_seat(self.k, batch, head, keys);
        product(out, keys.len(), 0.0, self.scale, q, k.t(), Threads::One);
    }
}

/// The positions of some neighbouring tiles of a sequence.
pub(super) fn span(entries: &[u32], length: usize) -> Range<usize> {
    let first = entries.first().map_or(0, |&entry| split(entry).0 * TILE);
    first..(first + entries.len() * TILE).min(length)
}

/// Cuts a row of tiles into runs of neighbours of at most `longest`: one wide product beats several narrow ones.
pub(super) fn runs(entries: &[u32], longest: usize) -> impl Iterator<Item = &[u32]> {
    entries
        .chunk_by(|&a, &b| split(a).0 + 1 == split(b).0)
        .flat_map(move |run| run.chunks(longest))
}

/// Hides the pairs of a block of scores that the rule does not allow.
pub(super) fn hide(scores: &mut [f32], stride: usize, queries: &[QueryCode], keys: &[KeyCode]) {
    for (row, &query) in scores.chunks_mut(stride).zip(queries) {
        for (score, &key) in row.iter_mut().zip(keys) {
            *score = if allowed(query, key) { *score } else { f32::NEG_INFINITY };
        }
    }
}

/// Joins the tiles of every (batch entry, head) into `[B, length, heads, D]`.
pub(super) fn gather(tiles: &[Vec<f32>], batch: usize, length: usize, heads: usize, width: usize) -> Vec<f32> {
    let mut out = vec![0.0; batch * length * heads * width];
    let count = length.div_ceil(TILE);
    for (task, tile) in tiles.iter().enumerate() {
        let (row, first) = (task / count, task % count * TILE);
        for (index, values) in tile.chunks(width.max(1)).enumerate() {
            let start = ((row / heads * length + first + index) * heads + row % heads) * width;
            out[start..start + width].copy_from_slice(values);
        }
    }
    out
}
