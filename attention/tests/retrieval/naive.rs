//! The definition in f64, a loop over rows, candidates and keys.

use drdiff_attention::retrieval::{CHUNK, Units};

/// Sizes and inputs of one call: `q: [B * rows, H, D]`, `k` and `v: [B * chunks * 64, G, D]`,
/// `r: [B * rows, R]`, `l: [B * chunks, R]`.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) units: Units,
    pub(crate) batch: usize,
    pub(crate) slots: usize,
    pub(crate) heads: usize,
    pub(crate) groups: usize,
    pub(crate) width: usize,
    pub(crate) landmark: usize,
    /// Which rows ask, if anybody knows, `[B * rows]`.
    pub(crate) asking: Option<Vec<bool>>,
    /// q, k, v, r, l and the null score.
    pub(crate) inputs: [Vec<f64>; 6],
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let peak = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| (score - peak).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

impl Case {
    /// The chunks of each unit of each sequence, best first.
    pub(crate) fn chosen(&self) -> Vec<Vec<usize>> {
        let [_, _, _, r, l, _] = &self.inputs;
        let (rows, chunks, width) = (self.units.rows(), self.units.chunks(), self.landmark);
        let mut chosen = Vec::new();
        for sequence in 0..self.batch {
            for unit in self.units.units() {
                let score = |chunk: usize| -> f64 {
                    let l = &l[(sequence * chunks + chunk) * width..][..width];
                    let mut voting: Vec<usize> = unit.rows.clone().map(|row| sequence * rows + row).collect();
                    if let Some(asking) = &self.asking {
                        let asks: Vec<usize> = voting.iter().copied().filter(|row| asking[*row]).collect();
                        voting = if asks.is_empty() { voting } else { asks };
                    }
                    let rows = voting.into_iter().map(|row| &r[row * width..][..width]);
                    rows.map(|r| dot(r, l)).fold(f64::NEG_INFINITY, f64::max)
                };
                let mut ranked: Vec<usize> = unit.candidates().collect();
                ranked.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
                ranked.truncate(self.slots);
                chosen.push(ranked);
            }
        }
        chosen
    }

    /// `[B * rows, H, D]`.
    pub(crate) fn out(&self, inputs: &[Vec<f64>; 6], chosen: &[Vec<usize>]) -> Vec<f64> {
        let [q, k, v, r, l, null] = inputs;
        let (rows, chunks, width) = (self.units.rows(), self.units.chunks(), self.width);
        let mut out = vec![0.0; q.len()];
        for (index, chosen) in chosen.iter().enumerate() {
            let (sequence, unit) = (index / self.units.units().len(), index % self.units.units().len());
            for row in self.units.units()[unit].rows.clone() {
                let row = sequence * rows + row;
                let own = &r[row * self.landmark..][..self.landmark];
                let mut scores: Vec<f64> = chosen
                    .iter()
                    .map(|chunk| dot(own, &l[(sequence * chunks + chunk) * self.landmark..][..self.landmark]))
                    .map(|score| score / (self.landmark as f64).sqrt())
                    .collect();
                scores.push(null[0]);
                for (chunk, weight) in chosen.iter().zip(softmax(&scores)) {
                    for head in 0..self.heads {
                        let q = &q[(row * self.heads + head) * width..][..width];
                        let group = head / (self.heads / self.groups);
                        let first = (sequence * chunks + chunk) * CHUNK;
                        let at = |j: usize| ((first + j) * self.groups + group) * width;
                        let scores: Vec<f64> = (0..CHUNK)
                            .map(|j| dot(q, &k[at(j)..][..width]) / (width as f64).sqrt())
                            .collect();
                        for (j, p) in softmax(&scores).into_iter().enumerate() {
                            for i in 0..width {
                                out[(row * self.heads + head) * width + i] += weight * p * v[at(j) + i];
                            }
                        }
                    }
                }
            }
        }
        out
    }
}
