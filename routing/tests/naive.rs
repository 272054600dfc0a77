//! A routed layer is its naive twin in f64, with its gates, its auxiliary loss and all gradients.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use drdiff_kernels::{Builder, Source, Tape};
use drdiff_noise::Noise;
use drdiff_routing::{
    Activation, CapacitySchedule, ComputeReport, Cut, FeedForward, Groups, LastEntropy, Read, RouterKind,
    RoutingConfig, Shape,
};
use drdiff_testkit::{Inputs, assert_close, assert_gradient, tensor, values};

const WIDTH: usize = 6;
const SHARED: usize = 5;
const HIDDEN: usize = 3;
const EXPERTS: usize = 4;
const ROWS: usize = 14;

/// Blocks of the pass: their open rows, signal and budget, and 2 settled rows at the end.
const BLOCKS: [(&[bool], f64, f64); 2] = [
    (&[true, false, true, true, true, true, false, true], 0.75, 1.0),
    (&[true, true, true, true], 0.25, 0.5),
];

/// With what entropy the rows were predicted before, if they were.
const ENTROPIES: [Option<f64>; ROWS] = [
    None,
    None,
    Some(0.5),
    Some(0.125),
    None,
    Some(1.0),
    None,
    None,
    None,
    Some(0.75),
    Some(0.25),
    None,
    None,
    None,
];

type Weights = BTreeMap<String, Vec<f64>>;

fn config((kind, cut): (RouterKind, Cut)) -> RoutingConfig {
    RoutingConfig {
        kind,
        cut,
        experts: EXPERTS,
        expert_hidden: HIDDEN,
        schedule: CapacitySchedule::Rising,
        balance: 0.3,
        z: 0.2,
        entropy: true,
        ..RoutingConfig::default()
    }
}

/// `matrix[rows, width] x`.
fn map(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    let dot = |row: &[f64]| row.iter().zip(x).map(|(w, x)| w * x).sum();
    matrix.chunks(x.len()).map(dot).collect()
}

fn swiglu(gate_up: &[f64], down: &[f64], x: &[f64]) -> Vec<f64> {
    let both = map(gate_up, x);
    let (gate, up) = both.split_at(both.len() / 2);
    let inner: Vec<f64> = gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
    map(down, &inner)
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let sum: f64 = scores.iter().map(|s| s.exp()).sum();
    scores.iter().map(|s| s.exp() / sum).collect()
}

/// Openness, signal and budget of each row; signal 1 outside blocks.
fn rows() -> Vec<(bool, f64, f64)> {
    let mut rows: Vec<(bool, f64, f64)> = BLOCKS
        .iter()
        .flat_map(|(open, signal, budget)| open.iter().map(|open| (*open, *signal, *budget)))
        .collect();
    rows.resize(ROWS, (false, 1.0, 1.0));
    rows
}

/// The first experts, as large a share of them as the budget is, if it cuts experts.
fn takes_part(cut: Cut, budget: f64) -> usize {
    match cut {
        Cut::Rows => EXPERTS,
        Cut::Experts => (EXPERTS as f64 * budget).ceil() as usize,
    }
}

/// Scores with those of experts that take no part out of reach.
fn barred(cut: Cut, scores: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let of = |(scores, (.., budget)): (&Vec<f64>, (bool, f64, f64))| {
        let mut scores = scores.clone();
        scores[takes_part(cut, budget)..].fill(-1e9);
        scores
    };
    scores.iter().zip(rows()).map(of).collect()
}

fn scores(weights: &Weights, x: &[f64]) -> Vec<Vec<f64>> {
    let signals = rows().into_iter().map(|(_, signal, _)| signal);
    let of = |(row, (x, signal)): (usize, (&[f64], f64))| {
        let mut scores = map(&weights["router.weight"], x);
        for (expert, score) in scores.iter_mut().enumerate() {
            *score += weights["router.bias"][expert] + (signal - 0.5) * weights["router.signal"][expert];
            *score += match ENTROPIES[row] {
                Some(entropy) => entropy * weights["router.entropy"][expert],
                None => weights["router.entropy"][EXPERTS + expert],
            };
        }
        scores
    };
    x.chunks(WIDTH).zip(signals).enumerate().map(of).collect()
}

/// The pairs of row and expert that run.
fn choose((kind, cut): (RouterKind, Cut), all: &[Vec<f64>]) -> Vec<(usize, usize)> {
    let config = config((kind, cut));
    let scores = barred(cut, all);
    let mut pairs = Vec::new();
    let mut start = 0;
    for (open, signal, budget) in BLOCKS {
        let open: Vec<usize> = (0..open.len())
            .filter(|row| open[*row])
            .map(|row| start + row)
            .collect();
        let best = |mut pairs: Vec<(usize, usize, f64)>, count: usize| {
            pairs.sort_by(|a, b| b.2.total_cmp(&a.2));
            pairs.truncate(count);
            pairs
        };
        let mut group = Vec::new();
        let experts = takes_part(cut, budget);
        match kind {
            RouterKind::ExpertChoice => {
                let wanted = (config.active + config.spread * (2.0 * signal - 1.0)) * open.len() as f64 * budget;
                let of = |expert: usize| {
                    open.iter()
                        .map(|row| (*row, expert, softmax(&scores[*row])[expert]))
                        .collect::<Vec<_>>()
                };
                if wanted < experts as f64 {
                    group = best((0..experts).flat_map(of).collect(), wanted.ceil() as usize);
                } else {
                    let each = (wanted / experts as f64).round() as usize;
                    (0..experts).for_each(|expert| group.extend(best(of(expert), each)));
                }
            }
            _ => {
                let asked = |scores: &[Vec<f64>], experts: usize| {
                    let of = |row: &usize| {
                        let idle = kind == RouterKind::Threshold;
                        let mut with_idle = scores[*row].clone();
                        with_idle.extend(idle.then_some(0.0));
                        let shares = softmax(&with_idle);
                        let all: Vec<_> = (0..experts).map(|expert| (*row, expert, shares[expert])).collect();
                        match idle {
                            true => all.into_iter().filter(|pair| pair.2 > config.threshold).collect(),
                            false => best(all, config.active as usize),
                        }
                    };
                    open.iter().flat_map(of).collect::<Vec<_>>()
                };
                let count = (asked(all, EXPERTS).len() as f64 * budget).ceil() as usize;
                group = best(asked(&scores, experts), count);
            }
        }
        pairs.extend(group.into_iter().map(|(row, expert, _)| (row, expert)));
        start += BLOCKS[0].0.len();
    }
    pairs
}

/// Output `[rows * width]` and auxiliary loss for the choices `pairs`; routers read `seen`, experts `x`.
fn layer(
    of: (RouterKind, Cut),
    weights: &Weights,
    x: &[f64],
    seen: &[f64],
    pairs: &[(usize, usize)],
) -> (Vec<f64>, f64) {
    let config = config(of);
    let scores = barred(of.1, &scores(weights, seen));
    let mut out: Vec<f64> = x
        .chunks(WIDTH)
        .flat_map(|x| swiglu(&weights["shared.gate_up"], &weights["shared.down"], x))
        .collect();
    for (row, expert) in pairs {
        let exp = |expert: &usize| scores[*row][*expert].exp();
        let sum: f64 = match of.0 {
            RouterKind::TokenChoice => pairs
                .iter()
                .filter(|pair| pair.0 == *row)
                .map(|pair| exp(&pair.1))
                .sum(),
            RouterKind::Threshold => 1.0 + (0..EXPERTS).map(|expert| exp(&expert)).sum::<f64>(),
            _ => (0..EXPERTS).map(|expert| exp(&expert)).sum(),
        };
        let (gate_up, down) = (2 * HIDDEN * WIDTH, WIDTH * HIDDEN);
        let y = swiglu(
            &weights["experts.gate_up"][expert * gate_up..][..gate_up],
            &weights["experts.down"][expert * down..][..down],
            &x[row * WIDTH..][..WIDTH],
        );
        let gate = exp(expert) / sum;
        out[row * WIDTH..][..WIDTH]
            .iter_mut()
            .zip(y)
            .for_each(|(out, y)| *out += gate * y);
    }
    let open: Vec<usize> = (0..ROWS).filter(|row| rows()[*row].0).collect();
    let mean = |of: &dyn Fn(usize) -> f64| open.iter().map(|row| of(*row)).sum::<f64>() / open.len() as f64;
    let log_sum = |row: usize| scores[row].iter().map(|s| s.exp()).sum::<f64>().ln();
    let mut aux = config.z * mean(&|row| log_sum(row) * log_sum(row));
    // The second block has less than a row for each of all experts, so expert choice is not balanced by construction; half of
    // them are.
    if of == (RouterKind::ExpertChoice, Cut::Experts) {
        return (out, aux);
    }
    let load = |expert| pairs.iter().filter(|pair| pair.1 == expert).count() as f64 / pairs.len() as f64;
    let balance = |expert| load(expert) * mean(&|row| softmax(&scores[row])[expert]);
    aux += config.balance * EXPERTS as f64 * (0..EXPERTS).map(balance).sum::<f64>();
    (out, aux)
}

#[test]
fn a_routed_layer_is_its_naive_twin_and_so_are_its_gradients() {
    let kinds = [RouterKind::ExpertChoice, RouterKind::TokenChoice, RouterKind::Threshold];
    for kind in [Cut::Rows, Cut::Experts]
        .into_iter()
        .flat_map(|cut| kinds.map(|kind| (kind, cut)))
    {
        let builder = Builder::new(Source::Init(Noise::new(3, 0)), &Device::Cpu);
        let shape = Shape {
            width: WIDTH,
            hidden: SHARED,
            activation: Activation::Silu,
        };
        let fast = FeedForward::new(&builder, shape, Some(&config(kind)), 0.3).unwrap();
        let (params, _) = builder.finish();
        let mut inputs = Inputs::new(8);
        // Routers that begin near zero would tell no rows apart.
        for (_, var) in params.vars().filter(|(name, _)| name.starts_with("router")) {
            let numbers = inputs.numbers(var.elem_count());
            var.set(&tensor(&numbers, var.dims()).unwrap()).unwrap();
        }
        let weights: Weights = params
            .vars()
            .map(|(name, var)| (name.to_owned(), values(var.as_tensor()).unwrap()))
            .collect();
        let (x, up) = (inputs.numbers(ROWS * WIDTH), inputs.numbers(ROWS * WIDTH));
        let pairs = choose(kind, &scores(&weights, &x));

        let mut groups = Groups::default();
        BLOCKS
            .iter()
            .for_each(|(open, signal, budget)| groups.block(open, *signal, *budget));
        groups.settled(2);
        let known: Vec<f32> = ENTROPIES.iter().flatten().map(|entropy| *entropy as f32).collect();
        let mut seen = 0;
        let place = ENTROPIES.map(|entropy| {
            seen += u32::from(entropy.is_some());
            if entropy.is_some() { seen } else { 0 }
        });
        let last = LastEntropy {
            shares: &Tensor::new(known, &Device::Cpu).unwrap(),
            place: &Tensor::new(&place, &Device::Cpu).unwrap(),
        };
        let placed = groups.place(&config(kind), ROWS, Some(last), &Device::Cpu).unwrap();
        let tape = Tape::new();
        let x_var = Var::from_tensor(&tensor(&x, &[ROWS, WIDTH]).unwrap()).unwrap();
        let (y, routing) = fast
            .forward(
                &tape.enter(x_var.as_tensor()),
                (placed.as_ref(), &Read::All),
                0,
                &mut ComputeReport::default(),
            )
            .unwrap();
        let routing = routing.unwrap();
        let (want, aux) = layer(kind, &weights, &x, &x, &pairs);
        assert_close(&format!("{kind:?}"), &values(y.tensor()).unwrap(), &want);
        assert_close(
            &format!("{kind:?} loss"),
            &values(routing.aux_loss.tensor()).unwrap(),
            &[aux],
        );
        assert_eq!(routing.taken.iter().sum::<usize>(), pairs.len());

        let up_tensor = tensor(&up, &[ROWS, WIDTH]).unwrap();
        let loss = y.through(|y| Ok((y * &up_tensor)?.sum_all()?)).unwrap();
        let gradients = tape.backward(&loss.add(&routing.aux_loss).unwrap()).unwrap();
        let total = |(y, aux): (Vec<f64>, f64)| aux + y.iter().zip(&up).map(|(y, up)| y * up).sum::<f64>();
        assert_gradient(
            &format!("{kind:?} x"),
            |moved| total(layer(kind, &weights, moved, &x, &pairs)),
            &x,
            &values(gradients.get(&x_var).unwrap()).unwrap(),
        );
        for (name, var) in params.vars() {
            let moved = |numbers: &[f64]| {
                let mut weights = weights.clone();
                weights.insert(name.to_owned(), numbers.to_vec());
                total(layer(kind, &weights, &x, &x, &pairs))
            };
            let gradient = values(gradients.get(var).unwrap()).unwrap();
            assert_gradient(&format!("{kind:?} {name}"), moved, &weights[name], &gradient);
        }
    }
}
