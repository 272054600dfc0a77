//! Row-wise operations.

use std::f64::consts::PI;

/// `x / sqrt(mean(x^2) + eps) * gain` for rows of `width`; zeros stay zeros.
#[must_use]
pub fn rms_norm(x: &[f64], width: usize, gain: Option<&[f64]>, eps: f64) -> Vec<f64> {
    let mut out = Vec::with_capacity(x.len());
    for row in x.chunks(width) {
        let power = row.iter().map(|x| x * x).sum::<f64>() / width as f64 + eps;
        let inverse = if power > 0.0 { 1.0 / power.sqrt() } else { 0.0 };
        for (index, x) in row.iter().enumerate() {
            out.push(x * inverse * gain.map_or(1.0, |gain| gain[index]));
        }
    }
    out
}

/// `x + delta (1 + gate)`.
#[must_use]
pub fn gated_add(x: &[f64], delta: &[f64], gate: &[f64]) -> Vec<f64> {
    let numbers = x.iter().zip(delta).zip(gate);
    numbers.map(|((x, delta), gate)| x + delta * (1.0 + gate)).collect()
}

/// The RMS norm of rows of `width` with a gain, then times `1 + scale` plus `shift`, which lie side by side in rows of
/// twice the width.
#[must_use]
pub fn modulated_norm(x: &[f64], gain: &[f64], modulation: &[f64], eps: f64) -> Vec<f64> {
    let width = gain.len();
    let mut out = rms_norm(x, width, Some(gain), eps);
    for (row, modulation) in out.chunks_mut(width).zip(modulation.chunks(2 * width)) {
        for (index, x) in row.iter_mut().enumerate() {
            *x = *x * (1.0 + modulation[index]) + modulation[width + index];
        }
    }
    out
}

/// RMS norm of every head vector (none without `eps`) with gain, then rotation by position; `x: [B, T, H, D]`,
/// `positions: [P][T]`, P = 1 or B.
#[must_use]
pub fn qk_norm_rope(
    x: &[f64],
    heads: usize,
    (gain, eps): (&[f64], Option<f64>),
    positions: &[Vec<i64>],
    base: f64,
) -> Vec<f64> {
    let width = gain.len();
    let half = width / 2;
    let length = positions[0].len();
    let mut out = match eps {
        Some(eps) => rms_norm(x, width, Some(gain), eps),
        None => x.iter().zip(gain.iter().cycle()).map(|(x, gain)| x * gain).collect(),
    };
    for (index, row) in out.chunks_mut(width).enumerate() {
        let token = index / heads;
        let position = positions[token / length % positions.len()][token % length] as f64;
        for i in 0..half {
            let angle = position * base.powf(-2.0 * i as f64 / width as f64);
            let (a, b) = (row[i], row[i + half]);
            row[i] = a * angle.cos() - b * angle.sin();
            row[i + half] = b * angle.cos() + a * angle.sin();
        }
    }
    out
}

/// `gelu(first half) * second half` for rows of `width`, gelu in its tanh form.
#[must_use]
pub fn geglu(x: &[f64], width: usize) -> Vec<f64> {
    let gelu = |x: f64| 0.5 * x * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh());
    x.chunks(width)
        .flat_map(|row| (0..width / 2).map(|index| gelu(row[index]) * row[index + width / 2]))
        .collect()
}

/// `silu(first half) * second half` for rows of `width`.
#[must_use]
pub fn swiglu(x: &[f64], width: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(x.len() / 2);
    for row in x.chunks(width) {
        for index in 0..width / 2 {
            out.push(row[index] / (1.0 + (-row[index]).exp()) * row[index + width / 2]);
        }
    }
    out
}
