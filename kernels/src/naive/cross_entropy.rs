//! The two ends of the vocabulary.

/// The rows `ids` of a table.
#[must_use]
pub fn embedding(ids: &[usize], table: &[f64], width: usize) -> Vec<f64> {
    ids.iter()
        .flat_map(|id| &table[id * width..(id + 1) * width])
        .copied()
        .collect()
}

/// `softmax(h table^T + bias)`, `[N, V]`.
#[must_use]
pub fn distribution(h: &[f64], table: &[f64], bias: &[f64], width: usize) -> Vec<f64> {
    let row = |row: &[f64]| {
        let logit = |id: usize| bias[id] + row.iter().zip(&table[id * width..]).map(|(h, e)| h * e).sum::<f64>();
        let weights: Vec<f64> = (0..bias.len()).map(|id| logit(id).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.into_iter().map(move |weight| weight / total)
    };
    h.chunks(width).flat_map(row).collect()
}

/// `p values`, row by row: `p: [N, V]`, `values: [V, width]`.
#[must_use]
pub fn expectation(p: &[f64], values: &[f64], width: usize) -> Vec<f64> {
    let mean = |p: &[f64]| {
        let mut mean = vec![0.0; width];
        for (p, row) in p.iter().zip(values.chunks(width)) {
            mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += p * value);
        }
        mean
    };
    p.chunks(values.len() / width).flat_map(mean).collect()
}

/// `softmax(h table^T + bias) table`, row by row.
#[must_use]
pub fn mixture(h: &[f64], table: &[f64], bias: &[f64], width: usize) -> Vec<f64> {
    expectation(&distribution(h, table, bias, width), table, width)
}

/// The entropy of each row of `softmax(h table^T + bias)` over that of an even choice.
#[must_use]
pub fn entropy_shares(h: &[f64], table: &[f64], bias: &[f64], width: usize) -> Vec<f64> {
    let nats = |p: &[f64]| -p.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f64>();
    let largest = (bias.len().max(2) as f64).ln();
    distribution(h, table, bias, width)
        .chunks(bias.len())
        .map(|p| nats(p) / largest)
        .collect()
}

/// `KL(p || softmax(h table^T + bias))` in nats, row by row.
#[must_use]
pub fn divergence(p: &[f64], h: &[f64], table: &[f64], bias: &[f64], width: usize) -> Vec<f64> {
    let q = distribution(h, table, bias, width);
    let nats = |(p, q): (&[f64], &[f64])| {
        p.iter()
            .zip(q)
            .filter(|(p, _)| **p > 0.0)
            .map(|(p, q)| p * (p / q).ln())
            .sum()
    };
    p.chunks(bias.len()).zip(q.chunks(bias.len())).map(nats).collect()
}

/// The cross-entropy in nats of each row of `softmax(h table^T + bias)`.
#[must_use]
pub fn cross_entropy(h: &[f64], table: &[f64], bias: &[f64], targets: &[usize], width: usize) -> Vec<f64> {
    let logit =
        |row: &[f64], id: usize| bias[id] + row.iter().zip(&table[id * width..]).map(|(h, e)| h * e).sum::<f64>();
    h.chunks(width)
        .zip(targets)
        .map(|(row, &target)| {
            let logits: Vec<f64> = (0..bias.len()).map(|id| logit(row, id)).collect();
            let peak = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            peak + logits.iter().map(|logit| (logit - peak).exp()).sum::<f64>().ln() - logits[target]
        })
        .collect()
}

/// `-sum_x target(x) ln softmax(h table^T + bias)(x)` in nats, row by row; `target: [N, V]`.
#[must_use]
pub fn soft_cross_entropy(target: &[f64], h: &[f64], table: &[f64], bias: &[f64], width: usize) -> Vec<f64> {
    let q = distribution(h, table, bias, width);
    let nats = |(p, q): (&[f64], &[f64])| -p.iter().zip(q).map(|(p, q)| p * q.ln()).sum::<f64>();
    target.chunks(bias.len()).zip(q.chunks(bias.len())).map(nats).collect()
}
