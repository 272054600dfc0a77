//! What rows take from their neighbours against the definition in f64, forward and backward.

#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

use candle_core::{Device, Tensor};
use drdiff_attention::{LayerPlans, Neighbours, NoisyClean, Pattern, Segment, Whole, beside};
use drdiff_kernels::{Builder, Params, Rotary, Source, Tape, TilePlan, Value};
use drdiff_noise::Noise;
use drdiff_testkit::{Inputs, assert_close, assert_gradient, tensor, values};

const WIDTH: usize = 6;
/// Numbers that a row says of itself.
const INNER: usize = 16;
const BATCH: usize = 2;

fn neighbours(radius: usize) -> (Neighbours, Params) {
    let builder = Builder::new(Source::Init(Noise::new(8, 0)), &Device::Cpu);
    let neighbours = Neighbours::new(&builder, WIDTH, radius, 1.0).unwrap();
    (neighbours, builder.finish().0)
}

/// The neighbours of all rows of `BATCH` sequences.
fn ids(plans: &LayerPlans, radius: usize) -> Tensor {
    let rotary = Rotary::new(&[vec![0]], 8, 10_000.0, &Device::Cpu).unwrap();
    let segment = Segment {
        batch: BATCH,
        len: rows(plans),
        plan: plans.clone(),
        units: None,
        rotary: &rotary,
        past: None,
    };
    beside(&[segment], radius, &Device::Cpu).unwrap()
}

fn rows(plans: &LayerPlans) -> usize {
    plans.of(0).queries()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The definition: a loop over rows, neighbours and numbers.
fn twin(x: &[f64], [down, up]: [&[f64]; 2], plans: &LayerPlans, radius: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(x.len());
    for sequence in 0..BATCH {
        for block in plans.blocks() {
            for row in block.clone() {
                let mut taken = Vec::new();
                for away in (-(radius as i64)..=radius as i64).filter(|away| *away != 0) {
                    let other = (row as i64 + away).clamp(block.start as i64, block.end as i64 - 1) as usize;
                    let other = &x[(sequence * rows(plans) + other) * WIDTH..][..WIDTH];
                    taken.extend(down.chunks(WIDTH).map(|weights| dot(weights, other)));
                }
                out.extend(up.chunks(2 * radius * INNER).map(|weights| dot(weights, &taken)));
            }
        }
    }
    out
}

#[test]
fn rows_take_what_the_definition_says_and_learn_from_it() {
    let layouts = [
        (1, Whole::default().plan(20, 20).unwrap()),
        (3, NoisyClean::default().plan(13, 5).unwrap()),
        (2, NoisyClean::default().plan(4, 1).unwrap()),
    ];
    for (radius, plans) in layouts {
        let (neighbours, params) = neighbours(radius);
        let numbers = |name: &str| {
            let found = params.vars().find(|(known, _)| *known == name);
            values(found.unwrap().1.as_tensor()).unwrap()
        };
        let (down, up) = (numbers("down"), numbers("up"));
        let shape = [BATCH * rows(&plans), WIDTH];
        let mut inputs = Inputs::new(radius as u64);
        let x = inputs.numbers(shape[0] * WIDTH);
        let weights = inputs.numbers(x.len());

        let tape = Tape::new();
        let parameter = candle_core::Var::from_tensor(&tensor(&x, &shape).unwrap()).unwrap();
        let start = tape.constant(&Tensor::zeros((), candle_core::DType::F32, &Device::Cpu).unwrap());
        let entered = [&start, &Value::parameter(parameter.as_tensor())];
        let [value] = Value::record(&entered, [parameter.as_tensor().detach()], |[dx]| Ok(vec![None, dx]));
        let y = neighbours.forward(&value, &ids(&plans, radius)).unwrap();
        let what = format!("{radius} neighbours");
        let want = twin(&x, [&down, &up], &plans, radius);
        assert_close(&what, &values(y.tensor()).unwrap(), &want);

        let dy = tensor(&weights, &shape).unwrap();
        let loss = y.through(|y| Ok((y * &dy)?.sum_all()?)).unwrap();
        let gradients = tape.backward(&loss).unwrap();
        let got = |of: &Tensor| values(gradients.get(of).unwrap()).unwrap();
        let learned = |name: &str| got(params.vars().find(|(known, _)| *known == name).unwrap().1);
        let loss = |x: &[f64], maps: [&[f64]; 2]| dot(&twin(x, maps, &plans, radius), &weights);
        assert_gradient("x", |x: &[f64]| loss(x, [&down, &up]), &x, &got(parameter.as_tensor()));
        assert_gradient("down", |down: &[f64]| loss(&x, [down, &up]), &down, &learned("down"));
        assert_gradient("up", |up: &[f64]| loss(&x, [&down, up]), &up, &learned("up"));
    }
}

#[test]
fn nobody_takes_from_another_block() {
    let (len, block) = (40, 8);
    let plans = NoisyClean::default().plan(len, block).unwrap();
    let ids = ids(&plans, 3).to_vec1::<u32>().unwrap();
    for (row, others) in ids.chunks(6).enumerate() {
        assert!(others.iter().all(|other| *other as usize / block == row / block));
        let (row, own) = (row as u32, row % block);
        if (3..block - 3).contains(&own) {
            assert_eq!(others, [row - 3, row - 2, row - 1, row + 1, row + 2, row + 3]);
        }
    }
}

#[test]
fn plans_without_blocks_are_refused() {
    let plans: LayerPlans = TilePlan::from_tiles(1, 1, |_, _| true).into();
    let rotary = Rotary::new(&[vec![0]], 8, 10_000.0, &Device::Cpu).unwrap();
    let segment = Segment {
        batch: 1,
        len: 64,
        plan: plans,
        units: None,
        rotary: &rotary,
        past: None,
    };
    assert!(beside(&[segment], 2, &Device::Cpu).is_err());
}
