//! Windows against a loop over all pairs.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use drdiff_attention::CausalWindow;
use drdiff_kernels::Value;
use drdiff_testkit::{Inputs, assert_close, tensor, values};

const WIDTH: usize = 8;

/// Attention of one head, `[len, WIDTH]`, each position over itself and the `window - 1` before it.
fn naive(len: usize, window: usize, [q, k, v]: [&[f64]; 3], scale: f64) -> Vec<f64> {
    let row = |x: &[f64], at: usize| x[at * WIDTH..][..WIDTH].to_vec();
    let dot = |a: Vec<f64>, b: Vec<f64>| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut out = Vec::new();
    for at in 0..len {
        let seen = (at + 1).saturating_sub(window)..=at;
        let weights: Vec<f64> = seen
            .clone()
            .map(|key| (scale * dot(row(q, at), row(k, key))).exp())
            .collect();
        let total: f64 = weights.iter().sum();
        for column in 0..WIDTH {
            let sum: f64 = seen
                .clone()
                .zip(&weights)
                .map(|(key, weight)| weight * v[key * WIDTH + column])
                .sum();
            out.push(sum / total);
        }
    }
    out
}

#[test]
fn windows_equal_a_loop_over_all_pairs() {
    for (len, window) in [
        (1, 64),
        (64, 64),
        (65, 64),
        (200, 64),
        (200, 128),
        (257, 128),
        (100, 512),
    ] {
        let mut inputs = Inputs::new((len + window) as u64);
        let numbers = [0; 3].map(|_| inputs.numbers(len * WIDTH));
        let wanted = naive(len, window, numbers.each_ref().map(Vec::as_slice), 0.5);
        let [q, k, v] = numbers
            .each_ref()
            .map(|x| Value::constant(&tensor(x, &[1, len, 1, WIDTH]).unwrap()));
        let window = CausalWindow::new(len, window).unwrap();
        let found = window.attend([&q, &k, &v], 0.5).unwrap();
        assert_close(&format!("{len}"), &values(found.tensor()).unwrap(), &wanted);
    }
}

#[test]
fn windows_that_are_no_whole_tiles_are_refused() {
    for window in [0, 63, 100] {
        assert!(
            CausalWindow::new(10, window)
                .unwrap_err()
                .to_string()
                .contains("multiples of 64")
        );
    }
    assert!(CausalWindow::new(0, 64).is_err());
}
