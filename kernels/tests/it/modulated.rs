//! Norms with a scale and a shift for each row, gated sums, and gated units before a map, all on a tape.

use candle_core::{Result, Tensor, Var};
use drdiff_kernels::{Linear, Tape, Value, modulated_norm, naive};
use drdiff_testkit::{Inputs, assert_close, assert_gradient, tensor, values};

const EPS: f64 = 1e-6;
const ROWS: usize = 5;

/// A weighted sum: a scalar whose gradient asks for every number.
fn weigh(out: &[f64], weights: &[f64]) -> f64 {
    out.iter().zip(weights).map(|(out, weight)| out * weight).sum()
}

type Lists = Vec<Vec<f64>>;

/// What `op` gives, and the gradients, input by input, of the weighted sums of it.
fn gradients(
    inputs: &[(&[f64], &[usize])],
    weights: &[&[f64]],
    op: impl Fn(&[Value], &[Tensor]) -> drdiff_kernels::Result<Vec<Value>>,
) -> Result<(Lists, Lists)> {
    let vars: Vec<Tensor> = inputs
        .iter()
        .map(|(numbers, shape)| Ok(Var::from_tensor(&tensor(numbers, shape)?)?.as_tensor().clone()))
        .collect::<Result<_>>()?;
    let tape = Tape::new();
    let entered: Vec<Value> = vars.iter().map(|var| tape.enter(var)).collect();
    let outputs = op(&entered, &vars).unwrap();
    let mut loss: Option<Value> = None;
    for (output, weights) in outputs.iter().zip(weights) {
        let weights = tensor(weights, output.tensor().dims())?;
        let part = output.through(|y| Ok((y * &weights)?.sum_all()?)).unwrap();
        loss = Some(loss.map_or(part.clone(), |loss| loss.add(&part).unwrap()));
    }
    let gradients = tape.backward(&loss.unwrap()).unwrap();
    let outputs = outputs.iter().map(|y| values(y.tensor())).collect::<Result<_>>()?;
    let found = vars.iter().map(|var| values(gradients.get(var).unwrap()));
    Ok((outputs, found.collect::<Result<_>>()?))
}

/// x, delta, gate, gain and modulation, and weights of the sum and of the norm.
fn case(width: usize) -> [Vec<f64>; 7] {
    let mut inputs = Inputs::new(width as u64);
    [1, 1, 1, 0, 2, 1, 1].map(|times| match times {
        0 => inputs.numbers(width),
        _ => inputs.numbers(times * ROWS * width),
    })
}

#[test]
fn the_norm_of_a_gated_sum_matches_its_twin() -> Result<()> {
    for width in [2, 7, 63, 64, 65, 200] {
        let [x, delta, gate, gain, modulation, sum_weights, norm_weights] = case(width);
        let shape = [ROWS, width];
        let inputs: [(&[f64], &[usize]); 5] = [
            (&x, &shape),
            (&delta, &shape),
            (&gate, &shape),
            (&modulation, &[ROWS, 2 * width]),
            (&gain, &[width]),
        ];
        let (outputs, found) = gradients(&inputs, &[&sum_weights, &norm_weights], |values, vars| {
            let [x, delta, gate, modulation, _] = values else {
                unreachable!()
            };
            let (sum, normed) = x.modulated_norm(Some([delta, gate]), &vars[4], modulation, EPS)?;
            Ok(vec![sum, normed])
        })?;
        let twin = |x: &[f64], delta: &[f64], gate: &[f64], modulation: &[f64], gain: &[f64]| {
            let sum = naive::gated_add(x, delta, gate);
            let normed = naive::modulated_norm(&sum, gain, modulation, EPS);
            (sum, normed)
        };
        let (sum, normed) = twin(&x, &delta, &gate, &modulation, &gain);
        assert_close("sum", &outputs[0], &sum);
        assert_close("norm", &outputs[1], &normed);
        let loss = |x: &[f64], delta: &[f64], gate: &[f64], modulation: &[f64], gain: &[f64]| {
            let (sum, normed) = twin(x, delta, gate, modulation, gain);
            weigh(&sum, &sum_weights) + weigh(&normed, &norm_weights)
        };
        assert_gradient("x", |x| loss(x, &delta, &gate, &modulation, &gain), &x, &found[0]);
        assert_gradient(
            "delta",
            |delta| loss(&x, delta, &gate, &modulation, &gain),
            &delta,
            &found[1],
        );
        assert_gradient(
            "gate",
            |gate| loss(&x, &delta, gate, &modulation, &gain),
            &gate,
            &found[2],
        );
        let of_modulation = |modulation: &[f64]| loss(&x, &delta, &gate, modulation, &gain);
        assert_gradient("modulation", of_modulation, &modulation, &found[3]);
        assert_gradient(
            "gain",
            |gain| loss(&x, &delta, &gate, &modulation, gain),
            &gain,
            &found[4],
        );
    }
    Ok(())
}

#[test]
fn the_norm_of_a_stream_alone_matches_its_twin() -> Result<()> {
    for width in [2, 65, 200] {
        let [x, _, _, gain, modulation, _, weights] = case(width);
        let inputs: [(&[f64], &[usize]); 3] = [
            (&x, &[ROWS, width]),
            (&modulation, &[ROWS, 2 * width]),
            (&gain, &[width]),
        ];
        let (outputs, found) = gradients(&inputs, &[&weights], |values, vars| {
            let (sum, normed) = values[0].modulated_norm(None, &vars[2], &values[1], EPS)?;
            assert_eq!(sum.tensor().id(), values[0].tensor().id());
            Ok(vec![normed])
        })?;
        let twin = |x: &[f64], modulation: &[f64], gain: &[f64]| naive::modulated_norm(x, gain, modulation, EPS);
        assert_close("norm", &outputs[0], &twin(&x, &modulation, &gain));
        let loss = |x: &[f64], modulation: &[f64], gain: &[f64]| weigh(&twin(x, modulation, gain), &weights);
        assert_gradient("x", |x| loss(x, &modulation, &gain), &x, &found[0]);
        assert_gradient(
            "modulation",
            |modulation| loss(&x, modulation, &gain),
            &modulation,
            &found[1],
        );
        assert_gradient("gain", |gain| loss(&x, &modulation, gain), &gain, &found[2]);
    }
    Ok(())
}

#[test]
fn a_gated_sum_matches_its_twin_alone_and_when_its_norm_is_unused() -> Result<()> {
    let width = 65;
    let [x, delta, gate, gain, modulation, weights, _] = case(width);
    let shape = [ROWS, width];
    let inputs: [(&[f64], &[usize]); 3] = [(&x, &shape), (&delta, &shape), (&gate, &shape)];
    let modulation = Value::constant(&tensor(&modulation, &[ROWS, 2 * width])?);
    let gain = tensor(&gain, &[width])?;
    for with_norm in [false, true] {
        let (outputs, found) = gradients(&inputs, &[&weights], |values, _| {
            let [x, delta, gate] = values else { unreachable!() };
            Ok(vec![match with_norm {
                true => x.modulated_norm(Some([delta, gate]), &gain, &modulation, EPS)?.0,
                false => x.gated_add(delta, gate)?,
            }])
        })?;
        let twin = naive::gated_add;
        assert_close("sum", &outputs[0], &twin(&x, &delta, &gate));
        assert_gradient("x", |x| weigh(&twin(x, &delta, &gate), &weights), &x, &found[0]);
        assert_gradient(
            "delta",
            |delta| weigh(&twin(&x, delta, &gate), &weights),
            &delta,
            &found[1],
        );
        assert_gradient(
            "gate",
            |gate| weigh(&twin(&x, &delta, gate), &weights),
            &gate,
            &found[2],
        );
    }
    Ok(())
}

#[test]
fn a_map_of_gated_units_matches_its_twin() -> Result<()> {
    for (half, outputs) in [(1, 3), (7, 2), (64, 5), (65, 65)] {
        let mut inputs = Inputs::new(half as u64);
        let (x, weight) = (inputs.numbers(ROWS * 2 * half), inputs.numbers(outputs * half));
        let weights = inputs.numbers(ROWS * outputs);
        let shapes: [(&[f64], &[usize]); 2] = [(&x, &[ROWS, 2 * half]), (&weight, &[outputs, half])];
        let (found, slopes) = gradients(&shapes, &[&weights], |values, vars| {
            Ok(vec![values[0].swiglu_linear(&Linear::Dense(vars[1].clone()))?])
        })?;
        let twin = |x: &[f64], weight: &[f64]| -> Vec<f64> {
            let product = naive::swiglu(x, 2 * half);
            let row = |x: &[f64]| weight.chunks(half).map(|w| weigh(x, w)).collect::<Vec<_>>();
            product.chunks(half).flat_map(row).collect()
        };
        assert_close("units", &found[0], &twin(&x, &weight));
        assert_gradient("x", |x| weigh(&twin(x, &weight), &weights), &x, &slopes[0]);
        assert_gradient(
            "weight",
            |weight| weigh(&twin(&x, weight), &weights),
            &weight,
            &slopes[1],
        );
    }
    Ok(())
}

#[test]
fn rows_of_zeros_have_finite_gradients() -> Result<()> {
    let zeros = vec![0.0; ROWS * 7];
    let ones = vec![1.0; ROWS * 14];
    for eps in [0.0, EPS] {
        let inputs: [(&[f64], &[usize]); 2] = [(&zeros, &[ROWS, 7]), (&ones, &[ROWS, 14])];
        let gain = tensor(&[1.0; 7], &[7])?;
        let (outputs, found) = gradients(&inputs, &[&ones[..ROWS * 7]], |values, _| {
            Ok(vec![values[0].modulated_norm(None, &gain, &values[1], eps)?.1])
        })?;
        assert!(outputs[0].iter().all(|&y| y == 1.0), "the shift alone");
        assert!(found.iter().flatten().all(|slope| slope.is_finite()));
    }
    Ok(())
}

#[test]
fn shapes_that_do_not_fit_are_named() -> Result<()> {
    let [x, wide, gain] = [
        tensor(&[0.0; 6], &[2, 3])?,
        tensor(&[0.0; 12], &[2, 6])?,
        tensor(&[1.0; 3], &[3])?,
    ];
    let message = |added, modulation| {
        modulated_norm(&x, added, &gain, modulation, EPS)
            .unwrap_err()
            .to_string()
    };
    assert!(message(None, &x).contains("modulation [2, 3]"));
    assert!(message(Some([&x, &wide]), &wide).contains("[2, 6]"));
    Ok(())
}
