//! The vocabulary head with what learns from distributions, and tokens drawn from it.

use crate::compare::{compare_runs, gpu, numbers, on_cpu, tolerance};
use candle_core::{DType, Device, Result, Tensor, Var};
use drdiff_kernels::{SoftTarget, Tape, Taught, Value, categorical};
use drdiff_noise::{Noise, Purpose};
use drdiff_testkit::{Inputs, assert_close_within, assert_no_worse};

const SHAPES: [(usize, usize, usize); 3] = [(5, 70, 8), (70, 8192, 64), (2100, 300, 32)];

/// Hidden rows, table, bias and weights of some shape, and a target of two parts.
struct Case {
    h: Tensor,
    table: Tensor,
    bias: Tensor,
    weights: Tensor,
    parts: [Tensor; 2],
}

impl Case {
    fn new((rows, vocab, width): (usize, usize, usize)) -> Result<Self> {
        let mut inputs = Inputs::new((rows + vocab) as u64);
        // Rows short enough that a distribution is neither flat nor a single token.
        let mut matrix = |rows| (numbers(&mut inputs, &[rows, width])? * 0.5)?.to_dtype(DType::F32);
        Ok(Self {
            h: matrix(rows)?,
            table: matrix(vocab)?,
            parts: [matrix(rows)?, matrix(rows)?],
            bias: numbers(&mut Inputs::new(1), &[vocab])?,
            // All of one sign: terms that cancel would leave nothing but rounding.
            weights: numbers(&mut Inputs::new(2), &[rows])?.abs()?,
        })
    }

    /// The result of `op`, which also gets the variables of table and bias, and the gradients of hidden rows, table and bias.
    fn run(
        &self,
        (device, dtype): (&Device, DType),
        op: impl Fn(&Value, &Value, [&Tensor; 2], &SoftTarget) -> Value,
    ) -> Result<Vec<Vec<f64>>> {
        let place = |x: &Tensor, dtype| x.to_device(device)?.to_dtype(dtype);
        let vars = [
            Var::from_tensor(&place(&self.h, dtype)?)?,
            Var::from_tensor(&place(&self.table, DType::F32)?)?,
            Var::from_tensor(&place(&self.bias, DType::F32)?)?,
        ];
        let share = Tensor::full(0.5f32, self.h.dim(0)?, device)?;
        let part = |h: &Tensor| Ok((place(h, dtype)?, share.clone()));
        let target = SoftTarget {
            parts: self.parts.iter().map(part).collect::<Result<_>>()?,
            table: place(&self.table, DType::F32)?,
            bias: place(&self.bias, DType::F32)?,
        };
        let tape = Tape::new();
        let [h, table] = [&vars[0], &vars[1]].map(|var| tape.enter(var.as_tensor()));
        let loss = op(&h, &table, [vars[1].as_tensor(), vars[2].as_tensor()], &target);
        let gradients = tape.backward(&loss).unwrap();
        let of = |var: &Var| on_cpu(gradients.get(var.as_tensor()).unwrap());
        std::iter::once(on_cpu(loss.tensor()))
            .chain(vars.iter().map(of))
            .collect()
    }
}

/// Compares the f32 forms, and holds the gradients in bf16 to the plain computation in bf16 on the CPU: what the head learns
/// from is a difference of distributions, which keeps less of its digits than either.
fn check(what: &str, run: impl Fn(&Device, DType) -> Result<Vec<Vec<f64>>>) -> Result<()> {
    compare_runs(what, DType::F32, &run)?;
    let want = run(&Device::Cpu, DType::F32)?;
    let plain = run(&Device::Cpu, DType::BF16)?;
    let got = run(&gpu(), DType::BF16)?;
    assert_close_within(what, &got[0], &want[0], tolerance(DType::BF16));
    for (index, ((got, plain), want)) in got.iter().zip(&plain).zip(&want).enumerate().skip(1) {
        assert_no_worse(&format!("{what}, gradient {index}"), got, plain, want);
    }
    Ok(())
}

/// The same loss in the operations of candle, with logits in the precision of the hidden rows.
fn plain_lesson(
    h: &Value,
    [table, bias]: [&Tensor; 2],
    targets: &Tensor,
    weights: &Tensor,
    taught: &Taught,
) -> drdiff_kernels::Result<Value> {
    let log_softmax = |h: &Tensor, table: &Tensor, bias: &Tensor| -> Result<Tensor> {
        let logits = h.matmul(&table.to_dtype(h.dtype())?.t()?)?.to_dtype(DType::F32)?;
        let logits = logits.broadcast_add(bias)?;
        let shifted = logits.broadcast_sub(&logits.max_keepdim(1)?)?;
        shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(1)?.log()?)
    };
    h.through(|h| {
        let log_q = log_softmax(h, table, bias)?;
        let p = log_softmax(&taught.h, &taught.table, &taught.bias)?.exp()?;
        let of_token = log_q.gather(&targets.unsqueeze(1)?, 1)?.squeeze(1)?;
        let of_teacher = (p * log_q)?.sum(1)?;
        let cost = ((of_teacher * &taught.shares)? + (of_token * taught.shares.affine(-1.0, 1.0)?)?)?;
        Ok((cost * weights)?.sum_all()?.neg()?)
    })
}

#[test]
fn a_token_and_a_teacher() -> Result<()> {
    for shape in SHAPES.into_iter().chain([(300, 1001, 64), (9000, 77, 16)]) {
        let case = Case::new(shape)?;
        let (rows, vocab, _) = shape;
        let targets: Vec<u32> = (0..rows).map(|row| (row * row % vocab) as u32).collect();
        let shares: Vec<f32> = (0..rows).map(|row| [0.0, 0.7, 1.0][row % 3]).collect();
        check(&format!("taught {shape:?}"), |device, dtype| {
            let weights = case.weights.to_device(device)?.to_dtype(DType::F32)?;
            let targets = Tensor::from_slice(&targets, rows, device)?;
            let shares = Tensor::from_slice(&shares, rows, device)?;
            case.run((device, dtype), |h, table, parameters, target| {
                let taught = Taught {
                    h: target.parts[0].0.clone(),
                    table: target.table.clone(),
                    bias: target.bias.clone(),
                    shares: shares.clone(),
                };
                // The fast form of a CPU has no bf16.
                match device.is_cpu() && dtype == DType::BF16 {
                    true => plain_lesson(h, parameters, &targets, &weights, &taught).unwrap(),
                    false => {
                        h.cross_entropy(table, parameters[1], &targets, &weights, Some(&taught))
                            .unwrap()
                            .0
                    }
                }
            })
        })?;
    }
    Ok(())
}

#[test]
fn divergence() -> Result<()> {
    for shape in SHAPES {
        let case = Case::new(shape)?;
        check(&format!("divergence {shape:?}"), |device, dtype| {
            let weights = case.weights.to_device(device)?;
            case.run((device, dtype), |h, table, parameters, target| {
                h.divergence(table, parameters[1], target, &weights).unwrap().0
            })
        })?;
    }
    Ok(())
}

#[test]
fn mean_vectors() -> Result<()> {
    for shape in SHAPES {
        let case = Case::new(shape)?;
        check(&format!("mean vectors {shape:?}"), |device, dtype| {
            let factors = numbers(&mut Inputs::new(3), &[shape.0, shape.2])?
                .abs()?
                .to_device(device)?;
            case.run((device, dtype), |h, table, parameters, target| {
                let x = h.expectation(table, parameters[1], &target.table).unwrap();
                x.through(|x| Ok((x.sqr()? * &factors)?.sum_all()?)).unwrap()
            })
        })?;
    }
    Ok(())
}

#[test]
fn tokens_are_those_of_the_cpu() -> Result<()> {
    for shape in SHAPES {
        let case = Case::new(shape)?;
        let noise = Noise::new(6, 0);
        let u: Vec<f64> = (0..shape.0 as u64)
            .map(|at| noise.uniform(Purpose::Sample, 0, at))
            .collect();
        let draw = |device: &Device| -> Result<Vec<u32>> {
            let [h, table, bias] = [&case.h, &case.table, &case.bias].map(|x| x.to_device(device).unwrap());
            let u = Tensor::from_slice(&u, u.len(), device)?;
            categorical(&h, &table, &bias, &u).unwrap().to_vec1()
        };
        let (cpu, gpu) = (draw(&Device::Cpu)?, draw(&gpu())?);
        // A draw may lie where rounding decides between two tokens.
        let differ = cpu.iter().zip(&gpu).filter(|(a, b)| a != b).count();
        assert!(differ <= 1 + shape.0 / 500, "{shape:?}: {differ} of {} differ", shape.0);
    }
    Ok(())
}
