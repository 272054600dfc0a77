//! Attention over trees against its definition, and what it promises.

#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

mod blocks;
mod causal;
mod layer;
mod optimal;
mod twin;

use std::sync::Arc;

use candle_core::{Tensor, Var};
use drdiff_attention::{Tree, tree_attention};
use drdiff_kernels::{Tape, Value};
use drdiff_testkit::{Inputs, assert_close, assert_gradient, tensor, values};
use twin::{Sizes, Twin};

struct Case {
    twin: Twin,
    q: Vec<f64>,
    k: Vec<f64>,
    v: Vec<f64>,
}

impl Case {
    fn new(len: usize, branching: &[usize], near: usize, [batch, heads, key_heads, width]: [usize; 4]) -> Self {
        let mut inputs = Inputs::new((len * 31 + branching[0]) as u64);
        let rows = batch * len * width;
        Self {
            twin: Twin {
                sizes: Sizes {
                    batch,
                    len,
                    heads,
                    key_heads,
                    width,
                },
                branching: branching.to_vec(),
                near,
                scale: 0.7,
            },
            q: inputs.numbers(rows * heads),
            k: inputs.numbers(rows * key_heads),
            v: inputs.numbers(rows * key_heads),
        }
    }

    fn tensors(&self) -> [Tensor; 3] {
        let Sizes {
            batch,
            len,
            heads,
            key_heads,
            width,
        } = self.twin.sizes;
        let of = |numbers: &[f64], heads| tensor(numbers, &[batch, len, heads, width]).unwrap();
        [of(&self.q, heads), of(&self.k, key_heads), of(&self.v, key_heads)]
    }

    fn run(&self, inputs: &[Value; 3]) -> Value {
        let [q, k, v] = inputs;
        let tree = Tree::new(self.twin.sizes.len, &self.twin.branching, self.twin.near).unwrap();
        tree_attention(q, k, v, &Arc::new(tree), self.twin.scale).unwrap()
    }

    fn out(&self) -> Vec<f64> {
        values(self.run(&self.tensors().map(|x| Value::constant(&x))).tensor()).unwrap()
    }

    fn check(&self) {
        assert_close("out", &self.out(), &self.twin.attend(&self.q, &self.k, &self.v));
    }

    fn check_gradients(&self) {
        let weights = Inputs::new(99).numbers(self.q.len());
        let loss = |q: &[f64], k: &[f64], v: &[f64]| -> f64 {
            let out = self.twin.attend(q, k, v);
            out.iter().zip(&weights).map(|(out, weight)| out * weight).sum()
        };
        let vars = self.tensors().map(|x| Var::from_tensor(&x).unwrap());
        let tape = Tape::new();
        let out = self.run(&vars.each_ref().map(|var| tape.enter(var)));
        let weights = tensor(&weights, out.tensor().dims()).unwrap();
        let sum = out.through(|out| Ok((out * &weights)?.sum_all()?)).unwrap();
        let gradients = tape.backward(&sum).unwrap();
        let [dq, dk, dv] = vars.each_ref().map(|var| values(gradients.get(var).unwrap()).unwrap());
        assert_gradient("dq", |q| loss(q, &self.k, &self.v), &self.q, &dq);
        assert_gradient("dk", |k| loss(&self.q, k, &self.v), &self.k, &dk);
        assert_gradient("dv", |v| loss(&self.q, &self.k, v), &self.v, &dv);
    }
}

#[test]
fn trees_of_any_branching_and_length() {
    for (len, branching) in [
        (12, vec![3, 4]),
        (23, vec![3, 4]),
        (5, vec![5]),
        (21, vec![5]),
        (12, vec![2, 2, 3]),
        (13, vec![2, 2, 3]),
        (1, vec![2]),
        (130, vec![64]),
        (200, vec![70, 2]),
    ] {
        Case::new(len, &branching, 0, [2, 4, 2, 6]).check();
    }
}

#[test]
fn gradients_are_slopes() {
    for (len, branching) in [(12, vec![3, 4]), (7, vec![2, 2]), (23, vec![2, 2, 3]), (11, vec![4])] {
        Case::new(len, &branching, 0, [1, 2, 1, 3]).check_gradients();
        Case::new(len, &branching, 0, [2, 1, 1, 2]).check_gradients();
    }
}

#[test]
fn siblings_nearby_are_read_exactly() {
    let case = Case::new(5 * 64 + 30, &[64, 4], 1, [1, 1, 1, 4]);
    case.check();
    case.check_gradients();
}

#[test]
fn one_level_is_softmax() {
    let case = Case::new(9, &[9], 0, [1, 1, 1, 4]);
    let softmax: Vec<_> = case.twin.logits(&case.q, &case.k, 0, 0);
    let weights: Vec<_> = softmax.iter().map(|row| twin::softmax(row)).collect();
    let out = |i: usize, d: usize| (0..9).map(|j| weights[i][j] * case.v[j * 4 + d]).sum::<f64>();
    let wanted: Vec<f64> = (0..36).map(|at| out(at / 4, at % 4)).collect();
    assert_close("one level", &case.out(), &wanted);
}

#[test]
fn where_siblings_are_alike_it_is_softmax_too() {
    let (len, leaf, width) = (22, 6, 4);
    let mut case = Case::new(len, &[leaf, 4], 0, [1, 1, 1, width]);
    for i in 1..len {
        case.q.copy_within(..width, i * width);
        let first = i / leaf * leaf * width;
        case.k.copy_within(first..first + width, i * width);
    }
    let flat = Twin {
        branching: vec![len],
        ..case.twin.clone()
    };
    assert_close("alike", &case.out(), &flat.attend(&case.q, &case.k, &case.v));
}
