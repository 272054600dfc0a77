//! The two ends of the vocabulary.

/// The rows `ids` of a table.
#[must_use]
pub fn embedding(ids: &[usize], table: &[f64], width: usize) -> Vec<f64> {
    ids.iter()
        .flat_map(|id| &table[id * width..(id + 1) * width])
        .copied()
        .collect()
}

/// `softmax(h table^T + bias) table`, row by row.
#[must_use]
pub fn mixture(h: &[f64], table: &[f64], bias: &[f64], width: usize) -> Vec<f64> {
    let mean = |row: &[f64]| {
        let weight = |id: usize| {
            let logit: f64 = row.iter().zip(&table[id * width..]).map(|(h, e)| h * e).sum();
            (logit + bias[id]).exp()
        };
        let total: f64 = (0..bias.len()).map(weight).sum();
        let mut mean = vec![0.0; width];
        for id in 0..bias.len() {
            for (mean, e) in mean.iter_mut().zip(&table[id * width..]) {
                *mean += weight(id) / total * e;
            }
        }
        mean
    };
    h.chunks(width).flat_map(mean).collect()
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
