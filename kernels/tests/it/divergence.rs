//! Learning from whole distributions: losses, means and gradients against their twins.

use candle_core::{Result, Tensor};
use drdiff_kernels::{Gradients, SoftTarget, Tape, Taught, Value, naive};
use drdiff_testkit::{Inputs, assert_close, assert_gradient, tensor, values};

const SHAPES: [(usize, usize, usize); 4] = [(1, 2, 1), (7, 65, 5), (33, 200, 8), (2051, 9, 3)];

struct Case {
    rows: usize,
    vocab: usize,
    width: usize,
    h: Vec<f64>,
    table: Vec<f64>,
    bias: Vec<f64>,
    weights: Vec<f64>,
    /// Hidden rows and shares of the target's parts, its table and its bias.
    parts: Vec<(Vec<f64>, Vec<f64>)>,
    target: (Vec<f64>, Vec<f64>),
}

impl Case {
    fn new((rows, vocab, width): (usize, usize, usize), parts: usize) -> Self {
        let mut inputs = Inputs::new((rows * vocab) as u64);
        let mut weights = inputs.numbers(rows);
        weights.iter_mut().skip(1).step_by(3).for_each(|weight| *weight = 0.0);
        let shares = vec![(parts as f64).recip(); rows];
        let mut part = || (inputs.numbers(rows * width), shares.clone());
        let parts = (0..parts).map(|_| part()).collect();
        Self {
            rows,
            vocab,
            width,
            h: inputs.numbers(rows * width),
            table: inputs.numbers(vocab * width),
            bias: inputs.numbers(vocab),
            weights,
            parts,
            target: (inputs.numbers(vocab * width), inputs.numbers(vocab)),
        }
    }

    fn wanted(&self) -> Vec<f64> {
        let mut sum = vec![0.0; self.rows * self.vocab];
        for (h, share) in &self.parts {
            let p = naive::distribution(h, &self.target.0, &self.target.1, self.width);
            for (at, (sum, p)) in sum.iter_mut().zip(p).enumerate() {
                *sum += share[at / self.vocab] * p;
            }
        }
        sum
    }

    fn target(&self) -> Result<SoftTarget> {
        let matrix = |numbers: &[f64]| tensor(numbers, &[numbers.len() / self.width, self.width]);
        let parts = self.parts.iter();
        Ok(SoftTarget {
            parts: parts
                .map(|(h, share)| Ok((matrix(h)?, tensor(share, &[self.rows])?)))
                .collect::<Result<_>>()?,
            table: matrix(&self.target.0)?,
            bias: tensor(&self.target.1, &[self.vocab])?,
        })
    }

    fn weighted(&self, nats: &[f64]) -> f64 {
        nats.iter().zip(&self.weights).map(|(nats, weight)| nats * weight).sum()
    }

    /// What `op` gives for the student's three inputs, and their gradients under half of its weighted sum.
    fn run(&self, op: impl Fn([&Value; 2], &Tensor) -> Value) -> Result<(Vec<f64>, [Vec<f64>; 3])> {
        let shapes = [
            vec![self.rows, self.width],
            vec![self.vocab, self.width],
            vec![self.vocab],
        ];
        let numbers = [&self.h, &self.table, &self.bias];
        let mut vars = Vec::new();
        for (numbers, shape) in numbers.into_iter().zip(&shapes) {
            vars.push(candle_core::Var::from_tensor(&tensor(numbers, shape)?)?);
        }
        let tape = Tape::new();
        let inputs = [0, 1].map(|index: usize| tape.enter(vars[index].as_tensor()));
        let out = op(inputs.each_ref(), vars[2].as_tensor());
        let half = out.through(|x| Ok((x * 0.5)?)).unwrap();
        let gradients: Gradients = tape.backward(&half).unwrap();
        let of = |index: usize| {
            let gradient = gradients.get(vars[index].as_tensor()).unwrap();
            values(&(gradient * 2.0).unwrap()).unwrap()
        };
        Ok((values(out.tensor())?, [of(0), of(1), of(2)]))
    }

    /// Compares gradients with the slopes of `loss`.
    fn check(&self, gradients: &[Vec<f64>; 3], loss: impl Fn(&[f64], &[f64], &[f64]) -> f64) {
        let (h, table, bias) = (&self.h, &self.table, &self.bias);
        assert_gradient("h", |h| loss(h, table, bias), h, &gradients[0]);
        assert_gradient("table", |table| loss(h, table, bias), table, &gradients[1]);
        assert_gradient("bias", |bias| loss(h, table, bias), bias, &gradients[2]);
    }
}

#[test]
fn divergence_and_gradients_match_the_twin() -> Result<()> {
    for shape in SHAPES {
        for parts in [1, 2] {
            let case = Case::new(shape, parts);
            let (target, wanted) = (case.target()?, case.wanted());
            assert_close("p", &values(&target.probabilities(0, case.rows).unwrap())?, &wanted);
            let weights = tensor(&case.weights, &[case.rows])?;
            let nats = |h: &[f64], table: &[f64], bias: &[f64]| naive::divergence(&wanted, h, table, bias, case.width);
            let op = |[h, table]: [&Value; 2], bias: &Tensor| {
                let (loss, rows) = h.divergence(table, bias, &target, &weights).unwrap();
                assert_close("nats", &values(&rows).unwrap(), &nats(&case.h, &case.table, &case.bias));
                loss
            };
            let (loss, gradients) = case.run(op)?;
            let value = |h: &[f64], table: &[f64], bias: &[f64]| case.weighted(&nats(h, table, bias));
            assert_close("loss", &loss, &[value(&case.h, &case.table, &case.bias)]);
            case.check(&gradients, value);
        }
    }
    Ok(())
}

#[test]
fn a_token_and_a_teacher_share_a_target() -> Result<()> {
    for shape in SHAPES {
        let case = Case::new(shape, 1);
        let (rows, vocab) = (case.rows, case.vocab);
        let targets: Vec<usize> = (0..rows).map(|row| (row * row + 1) % vocab).collect();
        // Every third row has no teacher, every fourth nothing else.
        let share = |row: usize| [0.0, 0.7, 0.3, 1.0][if row.is_multiple_of(3) { 0 } else { row % 4 }];
        let shares: Vec<f64> = (0..rows).map(share).collect();
        let mut wanted = case.wanted();
        for (row, p) in wanted.chunks_mut(vocab).enumerate() {
            p.iter_mut().for_each(|p| *p *= shares[row]);
            p[targets[row]] += 1.0 - shares[row];
        }
        let SoftTarget { parts, table, bias } = case.target()?;
        let taught = Taught {
            h: parts[0].0.clone(),
            table,
            bias,
            shares: tensor(&shares, &[rows])?,
        };
        let ids: Vec<u32> = targets.iter().map(|id| *id as u32).collect();
        let ids = Tensor::from_vec(ids, rows, taught.h.device())?;
        let weights = tensor(&case.weights, &[rows])?;
        let op = |[h, table]: [&Value; 2], bias: &Tensor| {
            let (loss, nats) = h.cross_entropy(table, bias, &ids, &weights, Some(&taught)).unwrap();
            let plain = naive::cross_entropy(&case.h, &case.table, &case.bias, &targets, case.width);
            assert_close("nats of the tokens", &values(&nats).unwrap(), &plain);
            loss
        };
        let (loss, gradients) = case.run(op)?;
        let value = |h: &[f64], table: &[f64], bias: &[f64]| {
            case.weighted(&naive::soft_cross_entropy(&wanted, h, table, bias, case.width))
        };
        assert_close("loss", &loss, &[value(&case.h, &case.table, &case.bias)]);
        case.check(&gradients, value);
    }
    Ok(())
}

#[test]
fn a_distribution_does_not_diverge_from_itself() -> Result<()> {
    let case = Case::new((5, 30, 4), 1);
    let target = case.target()?;
    let tape = Tape::new();
    let (h, table) = (tape.enter(&target.parts[0].0), tape.enter(&target.table));
    let weights = Tensor::ones(5, candle_core::DType::F32, h.tensor().device())?;
    let (_, nats) = h.divergence(&table, &target.bias, &target, &weights).unwrap();
    assert!(values(&nats)?.iter().all(|nats| nats.abs() < 1e-6), "{nats}");
    Ok(())
}

#[test]
fn mean_vectors_and_gradients_match_the_twin() -> Result<()> {
    for shape in SHAPES {
        let case = Case::new(shape, 1);
        let (vectors, width) = (&case.target.0, case.width);
        let table = tensor(vectors, &[case.vocab, width])?;
        let mean = |h: &[f64], table: &[f64], bias: &[f64]| {
            naive::expectation(&naive::distribution(h, table, bias, width), vectors, width)
        };
        let op = |[h, own]: [&Value; 2], bias: &Tensor| h.expectation(own, bias, &table).unwrap();
        let weights = Inputs::new(5).numbers(case.rows * width);
        let factor = tensor(&weights, &[case.rows, width])?;
        let (found, _) = case.run(|inputs, bias| op(inputs, bias).through(|x| Ok(x.sum_all()?)).unwrap())?;
        let wanted = mean(&case.h, &case.table, &case.bias);
        assert_close("sum", &found, &[wanted.iter().sum()]);
        let (_, gradients) = case.run(|inputs, bias| {
            let x = op(inputs, bias);
            assert_close("mean", &values(x.tensor()).unwrap(), &wanted);
            x.through(|x| Ok((x * &factor)?.sum_all()?)).unwrap()
        })?;
        case.check(&gradients, |h, table, bias| {
            mean(h, table, bias).iter().zip(&weights).map(|(x, w)| x * w).sum()
        });
    }
    Ok(())
}

#[test]
fn a_target_of_another_size_is_named() -> Result<()> {
    let case = Case::new((2, 3, 4), 1);
    let mut target = case.target()?;
    target.parts.clear();
    let [h, table] = [tensor(&case.h, &[2, 4])?, tensor(&case.table, &[3, 4])?].map(|x| Value::constant(&x));
    let (bias, weights) = (tensor(&case.bias, &[3])?, tensor(&case.weights, &[2])?);
    assert!(h.divergence(&table, &bias, &target, &weights).is_err(), "no parts");
    let short = tensor(&case.weights[..1], &[1])?;
    let error = h
        .divergence(&table, &bias, &case.target()?, &short)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("linear_divergence") && error.contains("weights [1]"),
        "{error}"
    );
    Ok(())
}
