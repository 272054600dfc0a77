//! Attention over a tree by its definition: all weights, as one matrix in f64.

use std::ops::Range;

/// Sizes of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) batch: usize,
    pub(crate) len: usize,
    pub(crate) heads: usize,
    pub(crate) key_heads: usize,
    pub(crate) width: usize,
}

impl Sizes {
    /// The products of query `row` with all keys times `scale`, for head `h` of text `b`.
    pub(crate) fn products(self, (q, k): (&[f64], &[f64]), (b, h): (usize, usize), row: usize, scale: f64) -> Vec<f64> {
        let Self {
            len,
            heads,
            key_heads,
            width,
            ..
        } = self;
        let g = h * key_heads / heads;
        let q = &q[((b * len + row) * heads + h) * width..][..width];
        let key = |j: usize| &k[((b * len + j) * key_heads + g) * width..][..width];
        let product = |j: usize| scale * q.iter().zip(key(j)).map(|(q, k)| q * k).sum::<f64>();
        (0..len).map(product).collect()
    }

    /// Values `[B, T, G, D]` by the weights that each row of head `h` of text `b` gives them, `weights(b, h)`: `[B, T, H, D]`.
    pub(crate) fn attend<R: FnMut(usize) -> Vec<f64>>(
        self,
        v: &[f64],
        weights: impl Fn(usize, usize) -> R,
    ) -> Vec<f64> {
        let Self {
            batch,
            len,
            heads,
            key_heads,
            width,
        } = self;
        let mut out = vec![0.0; batch * len * heads * width];
        for (b, h) in (0..batch).flat_map(|b| (0..heads).map(move |h| (b, h))) {
            let (mut row, g) = (weights(b, h), h * key_heads / heads);
            for i in 0..len {
                let out = &mut out[((b * len + i) * heads + h) * width..][..width];
                for (j, weight) in row(i).into_iter().enumerate().filter(|(_, weight)| *weight != 0.0) {
                    let value = &v[((b * len + j) * key_heads + g) * width..][..width];
                    out.iter_mut().zip(value).for_each(|(out, v)| *out += weight * v);
                }
            }
        }
        out
    }
}

/// The tree of a call.
#[derive(Debug, Clone)]
pub(crate) struct Twin {
    pub(crate) sizes: Sizes,
    pub(crate) branching: Vec<usize>,
    pub(crate) near: usize,
    pub(crate) scale: f64,
}

/// A square matrix over the positions of one text.
pub(crate) type Matrix = Vec<Vec<f64>>;

impl Twin {
    /// `[B, T, H, D]` from queries `[B, T, H, D]`, keys and values `[B, T, G, D]`.
    pub(crate) fn attend(&self, q: &[f64], k: &[f64], v: &[f64]) -> Vec<f64> {
        self.sizes.attend(v, |b, h| {
            let weights = self.weights(&self.logits(q, k, b, h));
            move |i| weights[i].clone()
        })
    }

    /// The scaled products of all pairs, for one head of one text.
    pub(crate) fn logits(&self, q: &[f64], k: &[f64], b: usize, h: usize) -> Matrix {
        let row = |i| self.sizes.products((q, k), (b, h), i, self.scale);
        (0..self.sizes.len).map(row).collect()
    }

    /// The weights of all pairs.
    pub(crate) fn weights(&self, logits: &Matrix) -> Matrix {
        let len = logits.len();
        let mut weights = vec![vec![0.0; len]; len];
        let top = (0..).find(|level| self.span(*level) >= len).unwrap();
        self.fill(logits, &(0..len), top, 1.0, &mut weights);
        weights
    }

    /// Positions below a full node of a level; 0 is the lowest.
    fn span(&self, level: usize) -> usize {
        let last = self.branching[self.branching.len() - 1];
        (0..=level).map(|l| self.branching.get(l).unwrap_or(&last)).product()
    }

    fn children(&self, node: &Range<usize>, level: usize) -> Vec<Range<usize>> {
        let starts = node.clone().step_by(self.span(level - 1));
        starts
            .map(|start| start..(start + self.span(level - 1)).min(node.end))
            .collect()
    }

    /// What the positions of a lowest node read one by one.
    pub(crate) fn exact(&self, node: &Range<usize>, len: usize) -> Range<usize> {
        let (span, above) = (self.span(0), self.span(1));
        let family = node.start / above * above;
        let from = node.start.saturating_sub(self.near * span).max(family);
        from..(node.start + (self.near + 1) * span).min(family + above).min(len)
    }

    fn energy(&self, logits: &Matrix, node: &Range<usize>, level: usize) -> f64 {
        let lse = |row: &[f64]| row.iter().map(|a| a.exp()).sum::<f64>().ln();
        if level == 0 {
            let exact = self.exact(node, logits.len());
            let sum: f64 = node.clone().map(|i| lse(&logits[i][exact.clone()])).sum();
            return -sum / node.len() as f64;
        }
        let children = self.children(node, level);
        let rows = self.scores(logits, &children, level);
        let sum: f64 = children
            .iter()
            .zip(&rows)
            .map(|(c, row)| c.len() as f64 * lse(row))
            .sum();
        -sum / node.len() as f64
    }

    /// Scores among siblings: mean logits and the logarithm of sizes, minus the energies on the diagonal.
    fn scores(&self, logits: &Matrix, children: &[Range<usize>], level: usize) -> Matrix {
        let pair = |c: usize, d: usize| {
            let (a, b) = (&children[c], &children[d]);
            if c == d {
                return -self.energy(logits, a, level - 1);
            }
            if level == 1 && c.abs_diff(d) <= self.near {
                return f64::NEG_INFINITY;
            }
            let sum: f64 = a.clone().flat_map(|i| b.clone().map(move |j| logits[i][j])).sum();
            sum / (a.len() * b.len()) as f64 + (b.len() as f64).ln()
        };
        let all = 0..children.len();
        all.clone().map(|c| all.clone().map(|d| pair(c, d)).collect()).collect()
    }

    fn fill(&self, logits: &Matrix, node: &Range<usize>, level: usize, mass: f64, weights: &mut Matrix) {
        if level == 0 {
            let exact = self.exact(node, logits.len());
            for i in node.clone() {
                let row = softmax(&logits[i][exact.clone()]);
                for (j, weight) in exact.clone().zip(row) {
                    weights[i][j] = mass * weight;
                }
            }
            return;
        }
        let children = self.children(node, level);
        for (c, row) in self.scores(logits, &children, level).iter().enumerate() {
            for (d, weight) in softmax(row).into_iter().enumerate() {
                if c == d {
                    self.fill(logits, &children[c], level - 1, mass * weight, weights);
                } else if weight > 0.0 {
                    for (i, j) in children[c]
                        .clone()
                        .flat_map(|i| children[d].clone().map(move |j| (i, j)))
                    {
                        weights[i][j] = mass * weight / children[d].len() as f64;
                    }
                }
            }
        }
    }
}

pub(crate) fn softmax(row: &[f64]) -> Vec<f64> {
    let sum: f64 = row.iter().map(|a| a.exp()).sum();
    row.iter().map(|a| a.exp() / sum).collect()
}
