//! Attention over disjoint parts of the keys, merged.

use crate::plan::batches;
use candle_core::{Result, Tensor, Var};
use drdiff_kernels::naive::{self, AttentionShape};
use drdiff_kernels::{Attention, KeyCode, TILE, Tape, TilePlan, Value, Visibility, merge};
use drdiff_testkit::{Inputs, assert_close, assert_gradient, tensor, values};
use proptest::prelude::*;
use std::sync::Arc;

const SCALE: f64 = 0.3;
/// What weighs the log-sum-exps, after `exp(SOFT lse)`: 0, with no gradient, for a query without keys.
const SOFT: f64 = 0.25;

/// The same queries over the keys of the tiles that `kept` chooses; the others are hidden.
fn part(batch: &[Visibility], kept: impl Fn(usize) -> bool) -> Arc<TilePlan> {
    let sequences: Vec<Visibility> = batch
        .iter()
        .map(|sequence| Visibility {
            queries: sequence.queries.clone(),
            keys: sequence
                .keys
                .iter()
                .enumerate()
                .map(|(index, key)| if kept(index / TILE) { *key } else { KeyCode::PADDING })
                .collect(),
        })
        .collect();
    Arc::new(TilePlan::new(&sequences).unwrap())
}

/// Output, log-sum-exp and the gradients of q, k and v of a scalar that reads both.
fn run(
    vars: &[Var],
    weights: &[Tensor; 2],
    op: impl Fn(&[Value]) -> drdiff_kernels::Result<(Value, Value)>,
) -> Result<Vec<Vec<f64>>> {
    let tape = Tape::new();
    let inputs: Vec<Value> = vars.iter().map(|var| tape.enter(var)).collect();
    let (out, lse) = op(&inputs).unwrap();
    let of_out = out.through(|out| Ok((out * &weights[0])?.sum_all()?)).unwrap();
    let of_lse = lse.through(|lse| Ok((lse.affine(SOFT, 0.0)?.exp()? * &weights[1])?.sum_all()?));
    let grads = tape.backward(&of_out.add(&of_lse.unwrap()).unwrap()).unwrap();
    let slopes = vars.iter().map(|var| values(grads.get(var).unwrap()));
    [values(out.tensor()), values(lse.tensor())]
        .into_iter()
        .chain(slopes)
        .collect()
}

fn vars(batch: usize, queries: usize, keys: usize) -> Result<(Vec<Var>, [Tensor; 2])> {
    let (heads, key_heads, width) = (2, 1, 4);
    let mut inputs = Inputs::new((queries * 1000 + keys) as u64);
    let mut draw = |shape: &[usize]| tensor(&inputs.numbers(shape.iter().product()), shape);
    let weights = [draw(&[batch, queries, heads, width])?, draw(&[batch, heads, queries])?];
    let shapes = [
        [batch, queries, heads, width],
        [batch, keys, key_heads, width],
        [batch, keys, key_heads, width],
    ];
    let vars = shapes.iter().map(|shape| Var::from_tensor(&draw(shape)?));
    Ok((vars.collect::<Result<_>>()?, weights))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn two_disjoint_plans_merged_are_the_whole_plan(batch in batches(), chosen in any::<u8>()) {
        let (queries, keys) = (batch[0].queries.len(), batch[0].keys.len());
        let (vars, weights) = vars(batch.len(), queries, keys).unwrap();
        let in_first = |tile: usize| chosen >> (tile % 8) & 1 == 1;
        let (whole, first, second) = (part(&batch, |_| true), part(&batch, in_first), part(&batch, |tile| !in_first(tile)));
        prop_assert_eq!(first.cost().pairs + second.cost().pairs, whole.cost().pairs);
        let wanted = run(&vars, &weights, |x| x[0].tile_attention(&x[1], &x[2], &whole, SCALE)).unwrap();
        let found = run(&vars, &weights, |x| {
            let (out_a, lse_a) = x[0].tile_attention(&x[1], &x[2], &first, SCALE)?;
            let (out_b, lse_b) = x[0].tile_attention(&x[1], &x[2], &second, SCALE)?;
            Value::merge([(&out_a, &lse_a), (&out_b, &lse_b)])
        }).unwrap();
        for (name, (found, wanted)) in ["out", "lse", "dq", "dk", "dv"].into_iter().zip(found.iter().zip(&wanted)) {
            assert_close(name, found, wanted);
        }
    }
}

#[test]
fn the_gradient_of_the_log_sum_exp_matches_the_twin() -> Result<()> {
    let (queries, keys) = (7, 70);
    let (vars, weights) = vars(1, queries, keys)?;
    let [q, k, v] = [&vars[0], &vars[1], &vars[2]].map(|var| values(var).unwrap());
    let batch = [Visibility::dense(queries, keys)];
    let plan = part(&batch, |_| true);
    let found = run(&vars, &weights, |x| x[0].tile_attention(&x[1], &x[2], &plan, SCALE))?;
    let shape = AttentionShape {
        batch: 1,
        queries,
        keys,
        heads: 2,
        key_heads: 1,
        width: 4,
    };
    let weights = [values(&weights[0])?, values(&weights[1])?];
    let loss = |q: &[f64], k: &[f64], v: &[f64]| scalar(naive::attention(q, k, v, shape, &batch, SCALE), &weights);
    assert_gradient("dq", |q| loss(q, &k, &v), &q, &found[2]);
    assert_gradient("dk", |k| loss(&q, k, &v), &k, &found[3]);
    assert_gradient("dv", |v| loss(&q, &k, v), &v, &found[4]);
    Ok(())
}

/// The scalar that [`run`] differentiates.
fn scalar((out, lse): (Vec<f64>, Vec<f64>), weights: &[Vec<f64>; 2]) -> f64 {
    let of_out: f64 = out.iter().zip(&weights[0]).map(|(out, weight)| out * weight).sum();
    let of_lse: f64 = lse
        .iter()
        .zip(&weights[1])
        .map(|(lse, weight)| (SOFT * lse).exp() * weight)
        .sum();
    of_out + of_lse
}

#[test]
fn merging_matches_its_twin_also_where_a_part_has_no_keys() -> Result<()> {
    let shape = AttentionShape {
        batch: 2,
        queries: 5,
        keys: 0,
        heads: 3,
        key_heads: 3,
        width: 4,
    };
    let (outs, lses) = ([2, 5, 3, 4], [2, 3, 5]);
    let mut inputs = Inputs::new(9);
    let mut numbers: Vec<Vec<f64>> = [120, 30, 120, 30].map(|count| inputs.numbers(count)).into();
    // Queries without keys in the first part, in the second, in both; and one part that outweighs the other by far.
    for (index, (a, b)) in [
        (f64::NEG_INFINITY, 0.5),
        (0.5, f64::NEG_INFINITY),
        (f64::NEG_INFINITY, f64::NEG_INFINITY),
        (20.0, -20.0),
    ]
    .into_iter()
    .enumerate()
    {
        (numbers[1][index], numbers[3][index]) = (a, b);
        for (part, lse) in [(0, a), (2, b)] {
            if lse == f64::NEG_INFINITY {
                // Query `index` of head 0 of the first sequence.
                numbers[part][index * 12..index * 12 + 4].fill(0.0);
            }
        }
    }
    let dims: [&[usize]; 4] = [&outs, &lses, &outs, &lses];
    let vars = numbers
        .iter()
        .zip(dims)
        .map(|(numbers, dims)| Var::from_tensor(&tensor(numbers, dims)?))
        .collect::<Result<Vec<_>>>()?;
    let weights = [
        tensor(&inputs.numbers(120), &outs)?,
        tensor(&inputs.numbers(30), &lses)?,
    ];
    let found = run(&vars, &weights, |x| Value::merge([(&x[0], &x[1]), (&x[2], &x[3])]))?;
    let twin = |x: [&[f64]; 4]| naive::merge([(x[0], x[1]), (x[2], x[3])], shape);
    let all = [0, 1, 2, 3].map(|index| numbers[index].as_slice());
    let (out, lse) = twin(all);
    assert_close("out", &found[0], &out);
    assert_close("lse", &found[1], &lse);
    assert_eq!((found[1][2], &found[0][24..28]), (f64::NEG_INFINITY, &[0.0; 4][..]));
    let weights = [values(&weights[0])?, values(&weights[1])?];
    for (index, name) in ["out of a", "lse of a", "out of b", "lse of b"].into_iter().enumerate() {
        let loss = |x: &[f64]| {
            let mut moved = all;
            moved[index] = x;
            scalar(twin(moved), &weights)
        };
        assert_gradient(name, loss, all[index], &found[2 + index]);
    }
    Ok(())
}

#[test]
fn parts_that_do_not_fit_are_named() -> Result<()> {
    let attention = |queries: usize| Attention {
        out: tensor(&vec![0.0; queries * 2], &[1, queries, 1, 2]).unwrap(),
        lse: tensor(&vec![0.0; queries], &[1, 1, queries]).unwrap(),
    };
    let message = merge([&attention(3), &attention(4)]).unwrap_err().to_string();
    assert!(message.contains("[1, 4, 1, 2]"), "{message}");
    Ok(())
}
