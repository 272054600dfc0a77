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
