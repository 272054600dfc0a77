//! Attention over every pair that the rule allows.

use crate::plan::{Visibility, allowed};

/// Sizes of an attention call: `q: [B, T, H, D]`, `k` and `v: [B, S, G, D]`.
#[derive(Debug, Clone, Copy)]
pub struct AttentionShape {
    /// B.
    pub batch: usize,
    /// T.
    pub queries: usize,
    /// S.
    pub keys: usize,
    /// H.
    pub heads: usize,
    /// G.
    pub key_heads: usize,
    /// D.
    pub width: usize,
}

/// Output `[B, T, H, D]` and log-sum-exp `[B, H, T]`; one visibility serves the whole batch.
#[must_use]
pub fn attention(
    q: &[f64],
    k: &[f64],
    v: &[f64],
    shape: AttentionShape,
    visibility: &[Visibility],
    scale: f64,
) -> (Vec<f64>, Vec<f64>) {
    let AttentionShape {
        batch,
        queries,
        keys,
        heads,
        key_heads,
        width,
    } = shape;
    let mut out = vec![0.0; batch * queries * heads * width];
    let mut lse = vec![f64::NEG_INFINITY; batch * heads * queries];
    for b in 0..batch {
        let codes = &visibility[if visibility.len() == 1 { 0 } else { b }];
        for h in 0..heads {
            let g = h / (heads / key_heads);
            let key_at = |s: usize| ((b * keys + s) * key_heads + g) * width;
            for t in 0..queries {
                let q_at = ((b * queries + t) * heads + h) * width;
                let seen: Vec<usize> = (0..keys)
                    .filter(|&s| allowed(codes.queries[t], codes.keys[s]))
                    .collect();
                let dot = |s: usize| (0..width).map(|i| q[q_at + i] * k[key_at(s) + i]).sum::<f64>();
                let scores: Vec<f64> = seen.iter().map(|&s| scale * dot(s)).collect();
                let peak = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                if seen.is_empty() {
                    continue;
                }
                let sum: f64 = scores.iter().map(|score| (score - peak).exp()).sum();
                lse[(b * heads + h) * queries + t] = peak + sum.ln();
                for (&s, score) in seen.iter().zip(&scores) {
                    let weight = (score - peak).exp() / sum;
                    for i in 0..width {
                        out[q_at + i] += weight * v[key_at(s) + i];
                    }
                }
            }
        }
    }
    (out, lse)
}

/// Output `[B, T, H, D]` and log-sum-exp `[B, H, T]` over the keys of two disjoint parts, from those of the parts.
#[must_use]
pub fn merge(parts: [(&[f64], &[f64]); 2], shape: AttentionShape) -> (Vec<f64>, Vec<f64>) {
    let AttentionShape {
        batch,
        queries,
        heads,
        width,
        ..
    } = shape;
    let mut out = vec![0.0; batch * queries * heads * width];
    let mut lse = vec![f64::NEG_INFINITY; batch * heads * queries];
    for b in 0..batch {
        for t in 0..queries {
            for h in 0..heads {
                let at = (b * heads + h) * queries + t;
                let row = ((b * queries + t) * heads + h) * width;
                let peak = parts.iter().map(|(_, lse)| lse[at]).fold(f64::NEG_INFINITY, f64::max);
                if peak == f64::NEG_INFINITY {
                    continue;
                }
                lse[at] = peak + parts.iter().map(|(_, lse)| (lse[at] - peak).exp()).sum::<f64>().ln();
                for (part, part_lse) in parts {
                    let share = (part_lse[at] - lse[at]).exp();
                    for i in row..row + width {
                        out[i] += share * part[i];
                    }
                }
            }
        }
    }
    (out, lse)
}
