//! The tree of a text in blocks against its definition, and what it promises.

use std::ops::Range;

use candle_core::{Tensor, Var};
use drdiff_attention::{
    AttentionConfig, CausalTree, NoisyClean, Pattern, PlanKind, Reads, TreeConfig, causal_attention,
};
use drdiff_kernels::{Tape, Value, tile_attention};
use drdiff_testkit::{Inputs, assert_close, assert_gradient, tensor, values};

use crate::blocks::Blocks;
use crate::twin::{Sizes, softmax};

struct Case {
    twin: Blocks,
    qkv: [Vec<f64>; 3],
}

impl Case {
    fn new(
        (text, block): (usize, usize),
        (branching, near): (&[usize], usize),
        [batch, heads, key_heads, width]: [usize; 4],
    ) -> Self {
        let mut inputs = Inputs::new((text * 31 + block) as u64);
        let rows = batch * 2 * text * width;
        Self {
            twin: Blocks {
                sizes: Sizes {
                    batch,
                    len: 2 * text,
                    heads,
                    key_heads,
                    width,
                },
                block,
                numbers: TreeConfig {
                    branching: branching.to_vec(),
                    near,
                },
                scale: 0.7,
            },
            qkv: [heads, key_heads, key_heads].map(|heads| inputs.numbers(rows * heads)),
        }
    }

    fn reads(&self) -> Reads {
        CausalTree::noisy_clean(&self.twin.numbers, self.twin.text(), self.twin.block).unwrap()
    }

    fn tensors(&self) -> [Tensor; 3] {
        let Sizes { batch, len, width, .. } = self.twin.sizes;
        let shape = |numbers: &Vec<f64>| [batch, len, numbers.len() / (batch * len * width), width];
        self.qkv.each_ref().map(|x| tensor(x, &shape(x)).unwrap())
    }

    fn run(&self, inputs: &[Value; 3]) -> Value {
        let ([q, k, v], Reads::Causal(tree)) = (inputs, self.reads()) else {
            panic!("nothing to read by means")
        };
        causal_attention(q, k, v, &tree, self.twin.scale).unwrap()
    }

    fn out(&self) -> Vec<f64> {
        values(self.run(&self.tensors().map(|x| Value::constant(&x))).tensor()).unwrap()
    }

    fn wanted(&self) -> Vec<f64> {
        let [q, k, v] = &self.qkv;
        self.twin.attend(q, k, v)
    }
}

#[test]
fn blocks_read_what_the_definition_says() {
    for (text, block, branching, near) in [
        // Three levels above the lowest, in families that are no whole tiles; the last node of each level is short.
        (832, 16, &[64, 2, 3][..], 0),
        (640, 64, &[64, 2], 0),
        (640, 1, &[64, 3], 0),
        // Blocks that no lowest node holds, aligned with them and not.
        (704, 100, &[64, 2], 0),
        (640, 128, &[64, 4], 0),
        (512, 24, &[128, 2], 0),
        (640, 16, &[64, 2], 3),
        (384, 16, &[64], 0),
    ] {
        let case = Case::new((text, block), (branching, near), [2, 4, 2, 6]);
        let what = format!("{text} in {block} by {branching:?}");
        assert_close(&what, &case.out(), &case.wanted());
    }
}

#[test]
fn two_levels_of_64_are_the_definition_too() {
    let case = Case::new((64 * 66, 64), (&[64], 0), [1, 1, 1, 2]);
    let reads = |row| case.twin.read(row).iter().filter(|keys| keys.len() > 1).count();
    assert_eq!(reads(64 * 64), 63, "siblings of one level");
    assert_eq!(reads(64 * 65), 1, "the node of all of them");
    assert_close("out", &case.out(), &case.wanted());
}

#[test]
fn gradients_are_slopes() {
    for (text, block, branching, shape) in [
        (576, 16, &[64, 2, 2][..], [1, 2, 1, 2]),
        (448, 100, &[64, 2], [2, 1, 1, 2]),
    ] {
        let case = Case::new((text, block), (branching, 0), shape);
        let weights = Inputs::new(99).numbers(case.qkv[0].len());
        let loss = |changed: usize, x: &[f64]| -> f64 {
            let mut qkv = case.qkv.each_ref().map(Vec::as_slice);
            qkv[changed] = x;
            let out = case.twin.attend(qkv[0], qkv[1], qkv[2]);
            out.iter().zip(&weights).map(|(out, weight)| out * weight).sum()
        };
        let vars = case.tensors().map(|x| Var::from_tensor(&x).unwrap());
        let tape = Tape::new();
        let out = case.run(&vars.each_ref().map(|var| tape.enter(var)));
        let weights = tensor(&weights, out.tensor().dims()).unwrap();
        let sum = out.through(|out| Ok((out * &weights)?.sum_all()?)).unwrap();
        let gradients = tape.backward(&sum).unwrap();
        for (index, name) in ["dq", "dk", "dv"].into_iter().enumerate() {
            let found = values(gradients.get(&vars[index]).unwrap()).unwrap();
            assert_gradient(name, |x| loss(index, x), &case.qkv[index], &found);
        }
    }
}

#[test]
fn a_text_in_one_lowest_node_is_softmax() {
    for (text, block, leaf) in [(64, 16, 64), (128, 64, 64), (30, 8, 64), (256, 1, 256)] {
        let case = Case::new((text, block), (&[leaf], 0), [1, 2, 1, 4]);
        let Reads::Tiles(plan) = case.reads() else {
            panic!("nothing lies before what is read one by one")
        };
        let [q, k, v] = case.tensors();
        let out = tile_attention(&q, &k, &v, &plan, case.twin.scale).unwrap().out;
        let dense = NoisyClean {
            attention: AttentionConfig::default(),
            causal: false,
        };
        let Reads::Tiles(dense) = dense.plan(text, block).unwrap().of(0).clone() else {
            panic!("dense plans are of tiles")
        };
        assert_eq!(plan.rows(), dense.rows());
        assert_close("softmax", &values(&out).unwrap(), &case.wanted());
    }
}

#[test]
fn where_the_keys_of_nodes_are_alike_it_is_softmax_of_everything() {
    let (text, block, width) = (448, 16, 4);
    // Nodes of 64 and of 128 positions are read.
    let mut case = Case::new((text, block), (&[64, 2, 64], 0), [1, 1, 1, width]);
    let clean = text * width;
    for i in 1..text {
        let k = &mut case.qkv[1];
        let first = clean + i / 64 / 2 * 128 * width;
        k.copy_within(first..first + width, clean + i * width);
    }
    let flat = Blocks {
        numbers: TreeConfig {
            branching: vec![1 << 20],
            near: 0,
        },
        ..case.twin.clone()
    };
    let [q, k, v] = &case.qkv;
    assert_close("alike", &case.out(), &flat.attend(q, k, v));
}

/// The weights of a call, read off with one-hot values, as many columns at a time as heads are wide.
fn weights(case: &mut Case) -> Vec<Vec<f64>> {
    let Sizes { len, width, .. } = case.twin.sizes;
    let mut rows = vec![Vec::with_capacity(len); len];
    for first in (0..len).step_by(width) {
        let hot = |at: usize| f64::from(u8::from(at / width == first + at % width));
        case.qkv[2] = (0..len * width).map(hot).collect();
        let out = case.out();
        rows.iter_mut()
            .zip(out.chunks(width))
            .for_each(|(row, out)| row.extend(out));
    }
    rows
}

#[test]
fn rows_sum_to_one_and_no_row_with_one_weight_a_node_is_closer_to_its_softmax() {
    let divergence = |weights: &[f64], logits: &[f64]| -> f64 {
        let pairs = weights.iter().zip(softmax(logits)).filter(|(w, _)| **w > 0.0);
        pairs.map(|(w, p)| w * (w / p).ln()).sum()
    };
    let mut case = Case::new((448, 16), (&[64, 2], 0), [1, 1, 1, 64]);
    case.twin.scale = 0.2;
    let [q, k, _] = &case.qkv;
    let logits: Vec<Vec<f64>> = (0..case.twin.sizes.len)
        .map(|row| case.twin.logits(q, k, (0, 0), row))
        .collect();
    let found = weights(&mut case);
    let sums: Vec<f64> = found.iter().map(|row| row.iter().sum()).collect();
    assert_close("sums", &sums, &vec![1.0; sums.len()]);
    let wanted = logits
        .iter()
        .enumerate()
        .map(|(row, logits)| case.twin.weights(row, logits));
    assert_close("weights", &found.concat(), &wanted.collect::<Vec<_>>().concat());
    let mut inputs = Inputs::new(7);
    for (row, weights) in found.iter().enumerate().step_by(5) {
        let read = case.twin.read(row);
        // Of all that the row may read: what lies ahead of it is no part of its softmax.
        let mut seen = vec![f64::NEG_INFINITY; weights.len()];
        for keys in &read {
            seen[keys.clone()].copy_from_slice(&logits[row][keys.clone()]);
        }
        let best = divergence(weights, &seen);
        for _ in 0..20 {
            // One number for each node and key, in all nothing.
            let mut change = inputs.numbers(read.len());
            let total: f64 = read.iter().map(Range::len).sum::<usize>() as f64;
            let excess = change
                .iter()
                .zip(&read)
                .map(|(d, keys)| d * keys.len() as f64)
                .sum::<f64>()
                / total;
            change.iter_mut().for_each(|d| *d -= excess);
            let ratio = |(d, keys): (&f64, &Range<usize>)| d.abs() / weights[keys.start];
            let most = change.iter().zip(&read).map(ratio).fold(0.0, f64::max);
            for step in [-0.5, -0.05, 0.05, 0.5] {
                let mut moved = weights.clone();
                for (d, keys) in change.iter().zip(&read) {
                    moved[keys.clone()].iter_mut().for_each(|w| *w += step / most * d);
                }
                let other = divergence(&moved, &seen);
                assert!(other > best, "row {row}: {other} after {best}");
            }
        }
    }
}

#[test]
fn layouts_that_make_no_tree_are_refused() {
    let refusal = |branching: &[usize], text: usize, block: usize| {
        let attention = AttentionConfig {
            plan: PlanKind::Tree,
            tree: TreeConfig {
                branching: branching.to_vec(),
                near: 0,
            },
            ..AttentionConfig::default()
        };
        let checked = attention.check_block(block, text).map_err(|error| error.to_string());
        let planned = NoisyClean {
            attention,
            causal: false,
        }
        .plan(text, block);
        let planned = planned.map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(checked, planned);
        planned
    };
    assert!(refusal(&[24], 640, 16).unwrap_err().contains("choose blocks of 640"));
    assert!(refusal(&[64], 600, 16).unwrap_err().contains("multiple of 64"));
    assert_eq!(refusal(&[24], 600, 600), Ok(()), "a tree of either half");
    assert_eq!(refusal(&[64], 100, 16), Ok(()), "nothing is read by means");
}
