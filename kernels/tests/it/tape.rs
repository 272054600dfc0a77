//! The tape's gradients are those of candle's graph over the same operations.

use candle_core::{Result, Tensor, Var};
use drdiff_kernels::{
    HeadNorms, Linear, Rotary, SelfAttend, Tape, TilePlan, Value, Visibility, embedding, linear_cross_entropy,
    qk_norm_rope, residual_norm, rms_norm, swiglu, tile_attention,
};
use drdiff_testkit::{Inputs, assert_close, tensor, values};
use std::sync::Arc;

/// Compares the gradients of the sum of squares of what both forms give.
fn check(
    what: &str,
    vars: &[Var],
    graph: impl Fn(&[Tensor]) -> Result<Tensor>,
    taped: impl Fn(&Tape, &[Value]) -> drdiff_kernels::Result<Value>,
) -> Result<()> {
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let wanted = graph(&tensors)?;
    let wanted_grads = wanted.sqr()?.sum_all()?.backward()?;
    let tape = Tape::new();
    let inputs: Vec<Value> = tensors.iter().map(|tensor| tape.enter(tensor)).collect();
    let found = taped(&tape, &inputs).unwrap();
    assert_close(what, &values(found.tensor())?, &values(&wanted)?);
    let loss = found.through(|x| Ok(x.sqr()?.sum_all()?)).unwrap();
    let found_grads = tape.backward(&loss).unwrap();
    for (index, var) in vars.iter().enumerate() {
        let (found, wanted) = (found_grads.get(var), wanted_grads.get(var));
        let what = format!("{what}: gradient {index}");
        assert_close(&what, &values(found.expect(&what))?, &values(wanted.expect(&what))?);
    }
    Ok(())
}

fn vars(shapes: &[&[usize]]) -> Result<Vec<Var>> {
    let mut inputs = Inputs::new(shapes.len() as u64);
    let numbers = shapes.iter().map(|shape| {
        let count = shape.iter().product();
        Var::from_tensor(&tensor(&inputs.numbers(count), shape)?)
    });
    numbers.collect()
}

#[test]
fn sums_norms_and_maps() -> Result<()> {
    let xs = vars(&[&[5, 6], &[5, 6], &[6], &[4, 6]])?;
    let (gain, weight) = (xs[2].as_tensor(), xs[3].as_tensor());
    let map = Linear::Dense(weight.clone());
    check(
        "a residual sum that is used twice",
        &xs,
        |x| {
            let (sum, normed) = residual_norm(&x[0], &x[1], gain, 1e-6).unwrap();
            let again = rms_norm(&sum, Some(gain), 1e-6).unwrap();
            map.forward(&(normed + (again + sum)?)?)
                .map_err(candle_core::Error::wrap)
        },
        |_, x| {
            let (sum, normed) = x[0].residual_norm(&x[1], gain, 1e-6)?;
            let again = sum.rms_norm(gain, 1e-6)?;
            normed.add(&again.add(&sum)?)?.linear(&map)
        },
    )
}

#[test]
fn gated_units_and_rows() -> Result<()> {
    let xs = vars(&[&[5, 8], &[4, 3], &[3, 4]])?;
    let map = Linear::Dense(xs[2].as_tensor().clone());
    let ids = Tensor::new(&[1u32, 4, 1, 0], &candle_core::Device::Cpu)?;
    let to = Tensor::new(&[3u32, 0, 3, 3], &candle_core::Device::Cpu)?;
    check(
        "rows",
        &xs,
        |x| {
            let gated = swiglu(&embedding(&ids, &x[0]).unwrap()).unwrap();
            let mapped = map.forward(&gated).map_err(candle_core::Error::wrap)?;
            mapped.index_add(&to, &x[1], 0)?.reshape((2, 6))
        },
        |_, x| {
            let mapped = x[0].rows(&ids)?.swiglu_linear(&map)?;
            mapped.add_rows(&to, &x[1])?.reshape((2, 6))
        },
    )
}

#[test]
fn attention_of_fused_heads() -> Result<()> {
    let (heads, key_heads, length, width) = (4, 2, 70, 8);
    let xs = vars(&[&[2, length, heads + 2 * key_heads, width], &[width], &[width]])?;
    let plan = Arc::new(TilePlan::new(&[Visibility::dense(length, length)]).unwrap());
    let rotary = Rotary::new(&[(0..length as i64).collect()], width, 100.0, &candle_core::Device::Cpu).unwrap();
    let (q_gain, k_gain) = (xs[1].as_tensor(), xs[2].as_tensor());
    check(
        "attention",
        &xs,
        |x| {
            let part = |first, count| x[0].narrow(2, first, count);
            let q = qk_norm_rope(&part(0, heads)?, q_gain, Some(1e-6), &rotary).unwrap();
            let k = qk_norm_rope(&part(heads, key_heads)?, k_gain, Some(1e-6), &rotary).unwrap();
            let v = part(heads + key_heads, key_heads)?;
            Ok(tile_attention(&q, &k, &v, &plan, 0.3).unwrap().out)
        },
        |_, x| {
            x[0].self_attention(&SelfAttend {
                norms: HeadNorms {
                    gains: [q_gain, k_gain],
                    eps: Some(1e-6),
                },
                rotary: &rotary,
                plan: &plan,
                heads,
                scale: 0.3,
            })
        },
    )
}

#[test]
fn fused_heads_taken_apart() -> Result<()> {
    let (heads, length, width) = (2, 5, 4);
    let xs = vars(&[&[2, length, heads + 2, width], &[width], &[width]])?;
    let rotary = Rotary::new(&[(0..length as i64).collect()], width, 100.0, &candle_core::Device::Cpu).unwrap();
    let (q_gain, k_gain) = (xs[1].as_tensor(), xs[2].as_tensor());
    check(
        "queries, keys and values",
        &xs,
        |x| {
            let q = qk_norm_rope(&x[0].narrow(2, 0, heads)?, q_gain, Some(1e-6), &rotary).unwrap();
            let k = qk_norm_rope(&x[0].narrow(2, heads, 1)?, k_gain, Some(1e-6), &rotary).unwrap();
            let v = x[0].narrow(2, heads + 1, 1)?;
            Tensor::cat(&[q, k, v], 2)?.reshape((2 * length, heads + 2, width))
        },
        |_, x| {
            let norms = HeadNorms {
                gains: [q_gain, k_gain],
                eps: Some(1e-6),
            };
            let parts = x[0].queries_keys_values(norms, &rotary, heads)?;
            let joined = Tensor::cat(&parts.each_ref().map(Value::tensor), 2)?;
            let counts = [heads, 1, 1];
            let [joined] = Value::record(&parts.each_ref(), [joined], move |[upstream]| {
                let upstream = upstream.expect("the sum reads it");
                let mut first = 0;
                let parts = counts.map(|count| {
                    first += count;
                    Some(upstream.narrow(2, first - count, count).unwrap())
                });
                Ok(parts.to_vec())
            });
            joined.reshape((2 * length, heads + 2, width))
        },
    )
}

#[test]
fn the_vocabulary_head() -> Result<()> {
    let xs = vars(&[&[7, 4], &[9, 4], &[9]])?;
    let targets = Tensor::new(&[0u32, 8, 3, 3, 1, 2, 7], &candle_core::Device::Cpu)?;
    let weights = tensor(&[0.5, 0.0, 1.0, 2.0, 0.1, 1.0, 1.0], &[7])?;
    check(
        "cross-entropy",
        &xs,
        |x| {
            Ok(linear_cross_entropy(&x[0], &x[1], &x[2], &targets, &weights)
                .unwrap()
                .loss)
        },
        |_, x| {
            Ok(x[0]
                .cross_entropy(&x[1], xs[2].as_tensor(), &targets, &weights, None)?
                .0)
        },
    )
}

#[test]
fn without_a_tape_nothing_is_recorded() -> Result<()> {
    let xs = vars(&[&[3, 4], &[4]])?;
    let x = Value::constant(&xs[0]);
    let y = x.rms_norm(&xs[1], 1e-6).unwrap();
    assert!(!y.is_recorded() && !y.tensor().track_op());
    let tape = Tape::new();
    let (on, off) = (tape.constant(&xs[0]), tape.backward(&y).unwrap());
    assert!(on.rms_norm(&xs[1], 1e-6).unwrap().is_recorded());
    assert!(off.get(&xs[1]).is_none());
    Ok(())
}
