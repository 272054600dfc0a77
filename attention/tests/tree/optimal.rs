//! The weights sum to one and no others of their form are closer to the softmax.

use drdiff_testkit::{Inputs, assert_close};

use crate::Case;
use crate::twin::{Matrix, Twin, softmax};

/// The weights of a call, read off with one-hot values.
fn weights(case: &mut Case) -> Matrix {
    let len = case.twin.sizes.len;
    case.v = (0..len * len)
        .map(|at| f64::from(u8::from(at / len == at % len)))
        .collect();
    case.out().chunks(len).map(<[f64]>::to_vec).collect()
}

/// `Σ_i KL(weights_i || softmax_i)`.
fn divergence(weights: &Matrix, logits: &Matrix) -> f64 {
    let row = |(weights, logits): (&Vec<f64>, &Vec<f64>)| -> f64 {
        let nats = weights.iter().zip(softmax(logits)).map(|(w, p)| w * (w / p).ln());
        nats.sum()
    };
    weights.iter().zip(logits).map(row).sum()
}

/// A random change that keeps the form of the weights and the sums of their rows: one number for all pairs below two
/// siblings; each pair that is read exactly has its own, which makes up for the rest of the row.
fn change(twin: &Twin, inputs: &mut Inputs) -> Matrix {
    let (len, leaf) = (twin.sizes.len, twin.branching[0]);
    let exact = |i: usize| {
        let first = i / leaf * leaf;
        twin.exact(&(first..(first + leaf).min(len)), len)
    };
    let mut change: Matrix = (0..len).map(|_| inputs.numbers(len)).collect();
    let mut span = leaf;
    let mut level = 0;
    // From below: pairs that meet at this level take the number of the first pair of their two nodes.
    while span < len {
        level += 1;
        let above = span
            * twin
                .branching
                .get(level)
                .unwrap_or(&twin.branching[twin.branching.len() - 1]);
        for i in 0..len {
            let exact = exact(i);
            for j in 0..len {
                if i / above == j / above && i / span != j / span && !exact.contains(&j) {
                    change[i][j] = change[i / span * span][j / span * span];
                }
            }
        }
        span = above;
    }
    for (i, row) in change.iter_mut().enumerate() {
        let own = exact(i);
        let excess = row.iter().sum::<f64>() / own.len() as f64;
        row[own].iter_mut().for_each(|change| *change -= excess);
    }
    change
}

#[test]
fn rows_sum_to_one_and_nothing_is_closer_to_the_softmax() {
    for (len, branching) in [(12, vec![3, 4]), (23, vec![3, 2]), (17, vec![2, 2, 3])] {
        let mut case = Case::new(len, &branching, 0, [1, 1, 1, len]);
        case.twin.scale = 0.4;
        let found = weights(&mut case);
        let sums: Vec<f64> = found.iter().map(|row| row.iter().sum()).collect();
        assert_close("sums of rows", &sums, &vec![1.0; len]);
        let logits = case.twin.logits(&case.q, &case.k, 0, 0);
        let best = divergence(&found, &logits);
        let mut inputs = Inputs::new(7);
        for _ in 0..50 {
            let change = change(&case.twin, &mut inputs);
            for step in [-1.0, -0.1, 0.1, 1.0] {
                // Half of what would bring the first weight to zero, or a tenth of it.
                let ratio = |(w, d): (&f64, &f64)| d.abs() / w;
                let most = found
                    .iter()
                    .flatten()
                    .zip(change.iter().flatten())
                    .map(ratio)
                    .fold(0.0, f64::max);
                let by = 0.5 * step / most;
                let moved: Matrix = found
                    .iter()
                    .zip(&change)
                    .map(|(w, d)| w.iter().zip(d).map(|(w, d)| w + by * d).collect())
                    .collect();
                let other = divergence(&moved, &logits);
                assert!(other > best, "{len} {branching:?}: {other} after {best}");
            }
        }
    }
}

#[test]
fn two_and_three_levels_with_near_siblings_are_the_definition_and_its_optimum() {
    // Of three levels: two nodes of 4,096 positions, the second of them with one whole lowest node and a part of one.
    for (len, near) in [(5 * 64 + 30, 1), (64 * 64 + 64 + 9, 0), (64 * 64 + 64 + 9, 1)] {
        let mut case = Case::new(len, &[64], near, [1, 1, 1, 2]);
        case.check();
        case.v.fill(1.0);
        assert_close("rows sum to one", &case.out(), &case.v);
        let logits = case.twin.logits(&case.q, &case.k, 0, 0);
        let weights = case.twin.weights(&logits);
        // The slope of the divergence along a change is the sum of the change times the logarithm of weight over softmax.
        let change = change(&case.twin, &mut Inputs::new(9));
        let (mut rising, mut falling) = (0.0, 0.0);
        for (row, (weights, logits)) in change.iter().zip(weights.iter().zip(&logits)) {
            for (change, (weight, softmax)) in row.iter().zip(weights.iter().zip(softmax(logits))) {
                let term = change * (weight / softmax).ln();
                match term > 0.0 {
                    true => rising += term,
                    false => falling -= term,
                }
            }
        }
        assert_close(&format!("{len}, near {near}: no slope"), &[rising], &[falling]);
    }
}
