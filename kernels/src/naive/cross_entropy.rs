//! The two ends of the vocabulary.

/// The rows `ids` of a table.
#[must_use]
pub fn embedding(ids: &[usize], table: &[f64], width: usize) -> Vec<f64> {
    ids.iter()
        .flat_map(|id| &table[id * width..(id + 1) * width])
        .copied()
        .collect()
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
