//! Attention over the tree of a text in blocks by its definition, row by row in f64.

use std::ops::Range;

use drdiff_attention::TreeConfig;

use crate::twin::{Sizes, softmax};

/// A text in the training layout; `sizes.len` are its 2 N rows, noisy ones first.
#[derive(Debug, Clone)]
pub(crate) struct Blocks {
    pub(crate) sizes: Sizes,
    pub(crate) block: usize,
    pub(crate) numbers: TreeConfig,
    pub(crate) scale: f64,
}

/// What a row reads: keys of the layout one by one, and nodes as keys that share a weight.
pub(crate) type Read = Vec<Range<usize>>;

impl Blocks {
    /// Text positions.
    pub(crate) fn text(&self) -> usize {
        self.sizes.len / 2
    }

    /// The first position that a row at `position` reads one by one: the start of the lowest node in which the block of any
    /// position of its own lowest node may begin, or of the `near`-th before it.
    fn from(&self, position: usize) -> usize {
        let leaf = self.numbers.branching[0];
        let own = position / leaf * leaf;
        let block = own.saturating_sub(self.block - 1) / leaf * leaf;
        block.min(own.saturating_sub(self.numbers.near * leaf))
    }

    /// Positions of the nodes of all levels that fit a text, from below.
    fn spans(&self) -> Vec<usize> {
        let branching = &self.numbers.branching;
        let counts = branching.iter().chain(branching.last().into_iter().cycle());
        let spans = counts.scan(1, |span, count| {
            *span *= count;
            Some(*span)
        });
        spans.take_while(|span| *span <= self.text()).collect()
    }

    /// What `row` reads: everything before some position in the fewest whole nodes, then keys one by one.
    pub(crate) fn read(&self, row: usize) -> Read {
        let (len, block) = (self.text(), self.block);
        let (clean, i) = (row >= len, row % len);
        let from = self.from(i);
        let mut read = Vec::new();
        let mut at = 0;
        while at < from {
            let fits = |span: &&usize| at % **span == 0 && at + **span <= from;
            let span = self.spans().iter().rfind(fits).copied().unwrap();
            read.push(len + at..len + at + span);
            at += span;
        }
        let alone = |j: usize| {
            let noisy = !clean && j < len && j / block == i / block;
            let before = j >= len + from && (j - len) / block < i / block + usize::from(clean);
            noisy || before
        };
        read.extend((0..2 * len).filter(|j| alone(*j)).map(|j| j..j + 1));
        read
    }

    /// The weight of each key for `row`, whose scaled products with all keys are `logits`.
    pub(crate) fn weights(&self, row: usize, logits: &[f64]) -> Vec<f64> {
        let read = self.read(row);
        let score = |keys: &Range<usize>| {
            let mean = logits[keys.clone()].iter().sum::<f64>() / keys.len() as f64;
            mean + (keys.len() as f64).ln()
        };
        let scores: Vec<f64> = read.iter().map(score).collect();
        let mut weights = vec![0.0; logits.len()];
        for (keys, weight) in read.into_iter().zip(softmax(&scores)) {
            let each = weight / keys.len() as f64;
            weights[keys].fill(each);
        }
        weights
    }

    /// The scaled products of `row` with all keys, for a head of a text.
    pub(crate) fn logits(&self, q: &[f64], k: &[f64], head: (usize, usize), row: usize) -> Vec<f64> {
        self.sizes.products((q, k), head, row, self.scale)
    }

    /// `[B, 2 N, H, D]` from queries `[B, 2 N, H, D]`, keys and values `[B, 2 N, G, D]`.
    pub(crate) fn attend(&self, q: &[f64], k: &[f64], v: &[f64]) -> Vec<f64> {
        self.sizes
            .attend(v, |b, h| move |i| self.weights(i, &self.logits(q, k, (b, h), i)))
    }
}
