//! The optimiser.

use crate::AdamWStep;

/// One step of AdamW in place (Loshchilov and Hutter, 2019, algorithm 2), `clip` times the gradient.
pub fn adamw(param: &mut [f64], grad: &[f64], m: &mut [f64], v: &mut [f64], step: &AdamWStep, clip: f64) {
    for i in 0..param.len() {
        let g = grad[i] * clip;
        m[i] = step.beta1 * m[i] + (1.0 - step.beta1) * g;
        v[i] = step.beta2 * v[i] + (1.0 - step.beta2) * g * g;
        let direction = (m[i] / step.bias1) / ((v[i] / step.bias2).sqrt() + step.eps);
        param[i] -= step.lr * (direction + step.weight_decay * param[i]);
    }
}

/// Newton-Schulz iteration on one matrix, `[rows, columns]` row-major: see [`crate::orthogonalise`].
#[must_use]
pub fn orthogonalise(matrix: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    let norm = matrix.iter().map(|v| v * v).sum::<f64>().sqrt() + 1e-7;
    let mut x: Vec<f64> = matrix.iter().map(|v| v / norm).collect();
    for _ in 0..5 {
        let mut gram = vec![0.0; rows * rows];
        for i in 0..rows {
            for j in 0..rows {
                gram[i * rows + j] = (0..columns).map(|k| x[i * columns + k] * x[j * columns + k]).sum();
            }
        }
        let product = |left: &[f64], right: &[f64], width: usize, i: usize, j: usize| -> f64 {
            (0..rows).map(|k| left[i * rows + k] * right[k * width + j]).sum()
        };
        let mut polynomial = vec![0.0; rows * rows];
        for i in 0..rows {
            for j in 0..rows {
                let square = product(&gram, &gram, rows, i, j);
                polynomial[i * rows + j] = -4.7750 * gram[i * rows + j] + 2.0315 * square;
            }
        }
        let mut next = vec![0.0; rows * columns];
        for i in 0..rows {
            for j in 0..columns {
                next[i * columns + j] = 3.4445 * x[i * columns + j] + product(&polynomial, &x, columns, i, j);
            }
        }
        x = next;
    }
    x
}
