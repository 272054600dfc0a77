//! The shared expert always runs, routed experts run for their rows only, routing learns and keeps texts apart.

#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor, Var};
use drdiff_kernels::params::Params;
use drdiff_kernels::{Builder, Linear, QuantizedMatrix, Source, Tape, Value};
use drdiff_noise::Noise;
use drdiff_routing::{
    Activation, ComputeReport, Cut, FeedForward, Groups, Read, Result, RouterKind, Routing, RoutingConfig, Shape,
    grouped_linear,
};
use drdiff_testkit::{Inputs, assert_all_learn, assert_close, assert_gradient, tensor, values};

const SHAPE: Shape = Shape {
    width: 8,
    hidden: 16,
    activation: Activation::Silu,
};
const ROUTED: [RouterKind; 3] = [RouterKind::ExpertChoice, RouterKind::TokenChoice, RouterKind::Threshold];

fn config(kind: RouterKind) -> RoutingConfig {
    RoutingConfig {
        kind,
        experts: 4,
        expert_hidden: 6,
        ..RoutingConfig::default()
    }
}

/// A layer with its parameters.
struct Layer {
    config: RoutingConfig,
    layer: FeedForward,
    params: Params,
}

impl Layer {
    fn new(kind: RouterKind) -> Self {
        Self::of(config(kind))
    }

    fn of(config: RoutingConfig) -> Self {
        let builder = Builder::new(Source::Init(Noise::new(3, 0)), &Device::Cpu);
        Self {
            layer: FeedForward::new(&builder, SHAPE, Some(&config), 0.1).unwrap(),
            params: builder.finish().0,
            config,
        }
    }

    fn forward(&self, x: &Value, groups: &Groups, report: &mut ComputeReport) -> Result<(Value, Option<Routing>)> {
        let placed = groups.place(&self.config, x.tensor().dim(0)?, None, &Device::Cpu)?;
        self.layer.forward(x, (placed.as_ref(), &Read::All), 0, report)
    }
}

fn input(seed: u64, rows: usize) -> Tensor {
    tensor(&Inputs::new(seed).numbers(rows * 8), &[rows, 8]).unwrap()
}

fn run(layer: &Layer, x: &Tensor, groups: &Groups) -> (Vec<f64>, ComputeReport) {
    let mut report = ComputeReport::by_row();
    let (y, _) = layer.forward(&Value::constant(x), groups, &mut report).unwrap();
    (values(y.tensor()).unwrap(), report)
}

/// Open blocks that may spend this share.
fn blocks(lens: &[usize], budget: f64) -> Groups {
    let mut groups = Groups::default();
    lens.iter().for_each(|len| groups.block(&vec![true; *len], 0.5, budget));
    groups
}

#[test]
fn a_grouped_product_is_its_naive_twin_and_so_is_its_gradient() {
    for counts in [vec![2, 2, 2], vec![3, 0, 1], vec![0, 0, 0], vec![0, 5, 0]] {
        let (rows, experts, outputs, inputs) = (counts.iter().sum::<usize>(), 3, 2, 3);
        let of: Vec<usize> = counts.iter().enumerate().flat_map(|(e, n)| vec![e; *n]).collect();
        let mut draw = Inputs::new(7);
        let (x, w, up) = (
            draw.numbers(rows * inputs),
            draw.numbers(experts * outputs * inputs),
            draw.numbers(rows * outputs),
        );
        let naive = |x: &[f64], w: &[f64]| -> Vec<f64> {
            let cell = |at: usize| {
                let (row, out) = (at / outputs, at % outputs);
                let w = &w[(of[row] * outputs + out) * inputs..][..inputs];
                w.iter().zip(&x[row * inputs..]).map(|(w, x)| w * x).sum()
            };
            (0..rows * outputs).map(cell).collect()
        };
        let x_var = Var::from_tensor(&tensor(&x, &[rows, inputs]).unwrap()).unwrap();
        let w_var = Var::from_tensor(&tensor(&w, &[experts * outputs, inputs]).unwrap()).unwrap();
        let tape = Tape::new();
        let y = grouped_linear(
            &tape.enter(x_var.as_tensor()),
            &Linear::Dense(w_var.as_tensor().clone()),
            &counts,
        )
        .unwrap();
        assert_close("grouped", &values(y.tensor()).unwrap(), &naive(&x, &w));
        if rows == 0 {
            continue;
        }
        let up_tensor = tensor(&up, &[rows, outputs]).unwrap();
        let loss = y.through(|y| Ok((y * &up_tensor)?.sum_all()?)).unwrap();
        let gradients = tape.backward(&loss).unwrap();
        let dot = |y: Vec<f64>| y.iter().zip(&up).map(|(y, up)| y * up).sum::<f64>();
        let gradient = |var: &Var| values(gradients.get(var).unwrap()).unwrap();
        assert_gradient("x", |x| dot(naive(x, &w)), &x, &gradient(&x_var));
        assert_gradient("w", |w| dot(naive(&x, w)), &w, &gradient(&w_var));
    }
}

#[test]
fn a_quantised_stack_is_its_experts_one_by_one() {
    let (experts, outputs, inputs) = (3, 32, 64);
    let mut draw = Inputs::new(9);
    let numbers = draw.numbers(experts * outputs * inputs);
    let quantised = |numbers: &[f64]| {
        let dense = tensor(numbers, &[numbers.len() / inputs, inputs]).unwrap();
        let tensor = QTensor::quantize(&dense, GgmlDType::Q8_0).unwrap();
        QuantizedMatrix::new(tensor).unwrap()
    };
    let counts = [2, 0, 5];
    let x = tensor(&draw.numbers(7 * inputs), &[7, inputs]).unwrap();
    let y = grouped_linear(&Value::constant(&x), &Linear::Quantized(quantised(&numbers)), &counts).unwrap();
    let first = quantised(&numbers[..outputs * inputs]);
    let last = quantised(&numbers[2 * outputs * inputs..]);
    let want = [
        first.forward(&x.narrow(0, 0, 2).unwrap()),
        last.forward(&x.narrow(0, 2, 5).unwrap()),
    ];
    let want = Tensor::cat(&want.map(std::result::Result::unwrap), 0).unwrap();
    assert_eq!(values(y.tensor()).unwrap(), values(&want).unwrap());
    assert!(!first.has_parts_of(8) && first.forward_part(&x, 8..16).is_err());
    // Nothing can be learned through it.
    let tape = Tape::new();
    assert!(grouped_linear(&tape.constant(&x), &Linear::Quantized(quantised(&numbers)), &counts).is_err());
}

#[test]
fn expert_choice_spends_what_shapes_say_and_settled_rows_spend_nothing() {
    let layer = Layer::new(RouterKind::ExpertChoice);
    // The shared expert, and the scores of 4 experts.
    let (shared, scores) = (6 * 8 * 16, 2 * 8 * 4);
    let routed = 6 * 8 * 6;
    // 2 experts a row on average: 4 experts take 4 of 8 rows each, at half the budget 2.
    for (budget, each) in [(1.0, 4), (0.5, 2)] {
        let (_, report) = run(&layer, &input(1, 8), &blocks(&[8], budget));
        assert_eq!(report.flops(), 8 * (shared + scores) + 4 * each * routed);
        let account = &report.layers()[0];
        assert_eq!((account.load.clone(), &account.taken), (vec![each; 4], &vec![4 * each]));
        assert_eq!(u64::from(account.experts.iter().sum::<u32>()), 4 * each);
    }
    let mut settled = Groups::default();
    settled.settled(5);
    settled.block(&[false; 3], 1.0, 1.0);
    let (plain, report) = run(&layer, &input(1, 8), &settled);
    assert_eq!(report.flops(), 8 * shared);
    // With only rows 1 and 2 open, rows 0 and 3 are what the shared expert makes of them.
    let mut some = Groups::default();
    some.block(&[false, true, true, false], 0.5, 1.0);
    let (y, _) = run(&layer, &input(1, 8).narrow(0, 0, 4).unwrap(), &some);
    assert_eq!((&y[..8], &y[24..]), (&plain[..8], &plain[24..32]));
    assert_ne!(y[8..24], plain[8..24]);
}

#[test]
fn a_budget_may_cut_experts() {
    for kind in ROUTED {
        let layer = Layer::of(RoutingConfig {
            cut: Cut::Experts,
            threshold: 0.1,
            ..config(kind)
        });
        // Half of what 8 rows ask for, from 2 of the 4 experts; the other block has all of them.
        let mut groups = blocks(&[8], 0.5);
        groups.block(&[true; 16], 0.5, 1.0);
        let (_, report) = run(&layer, &input(1, 24), &groups);
        let account = &report.layers()[0];
        let (_, full) = run(&layer, &input(1, 24).narrow(0, 0, 8).unwrap(), &blocks(&[8], 1.0));
        assert!(2 * account.taken[0] <= full.layers()[0].taken[0] + 1, "{kind:?}");
        let (_, half) = run(&layer, &input(1, 24).narrow(0, 0, 8).unwrap(), &blocks(&[8], 0.5));
        let load = &half.layers()[0].load;
        assert_eq!(
            (load[2], load[3], load.iter().sum()),
            (0, 0, account.taken[0]),
            "{kind:?}"
        );
        if kind == RouterKind::ExpertChoice {
            assert_eq!(load[..2], [4, 4]);
        }
    }
}

#[test]
fn what_nobody_reads_does_not_run() {
    let layer = Layer::new(RouterKind::ExpertChoice);
    let (x, groups) = (Value::constant(&input(1, 8)), blocks(&[8], 1.0));
    let placed = groups.place(&layer.config, 8, None, &Device::Cpu).unwrap();
    let pass = |read: &Read| {
        let mut report = ComputeReport::default();
        let (y, _) = layer
            .layer
            .forward(&x, (placed.as_ref(), read), 0, &mut report)
            .unwrap();
        (values(y.tensor()).unwrap(), report.flops())
    };
    let (all, whole) = pass(&Read::All);
    let (some, part) = pass(&Read::Rows(Tensor::new(&[6u32, 1], &Device::Cpu).unwrap()));
    assert_close("rows that are read", &some, &[&all[48..56], &all[8..16]].concat());
    // The shared expert runs for 2 rows of 8; rows compete for routed experts as before.
    assert_eq!(whole - part, 6 * (6 * 8 * 16));
    assert_eq!(pass(&Read::Nothing), (Vec::new(), 0));
}

#[test]
fn no_text_moves_the_routing_of_another() {
    for kind in ROUTED {
        let layer = Layer::new(kind);
        let (first, second) = (input(4, 8), input(5, 16));
        let both = Tensor::cat(&[&first, &second], 0).unwrap();
        let (alone, _) = run(&layer, &first, &blocks(&[8], 1.0));
        let mut groups = blocks(&[8], 1.0);
        groups.block(&[true; 16], 0.9, 0.25);
        let (together, _) = run(&layer, &both, &groups);
        assert_close(&format!("{kind:?}"), &together[..64], &alone);
    }
}

#[test]
fn rows_that_ask_for_nothing_get_nothing_and_their_router_still_learns() {
    let layer = Layer::of(RoutingConfig {
        threshold: 0.9,
        ..config(RouterKind::Threshold)
    });
    let tape = Tape::new();
    let x = tape.constant(&input(1, 8));
    let (y, routing) = layer
        .forward(&x, &blocks(&[8], 1.0), &mut ComputeReport::default())
        .unwrap();
    let routing = routing.unwrap();
    assert!(routing.chosen.is_none() && routing.counts == [0; 4] && routing.taken == [0]);
    let mut settled = Groups::default();
    settled.settled(8);
    assert_eq!(values(y.tensor()).unwrap(), run(&layer, &input(1, 8), &settled).0);
    let gradients = tape.backward(&routing.aux_loss).unwrap();
    let routers = layer.params.vars().filter(|(name, _)| *name == "router.bias");
    assert_all_learn(routers, |var| gradients.get(var));
}

#[test]
fn small_groups_keep_their_budget() {
    // One open row of a block of 8, 2 experts for an open row: not one for each of the 4 experts.
    let layer = Layer::new(RouterKind::ExpertChoice);
    for (open, budget, taken) in [(1, 1.0, 2), (1, 0.5, 1), (1, 0.25, 1), (3, 0.5, 3), (2, 1.0, 4)] {
        let mut groups = Groups::default();
        let rows: Vec<bool> = (0..8).map(|row| row < open).collect();
        groups.block(&rows, 0.5, budget);
        let (_, report) = run(&layer, &input(3, 8), &groups);
        let account = &report.layers()[0];
        assert_eq!(account.taken, [taken], "{open} open rows at {budget}");
        assert_eq!(account.experts[open..], [0, 0, 0, 0, 0, 0, 0, 0][open..]);
    }
}

#[test]
fn rows_without_groups_are_refused() {
    let layer = Layer::new(RouterKind::ExpertChoice);
    let x = Value::constant(&input(1, 8));
    let error = layer.forward(&x, &blocks(&[5], 1.0), &mut ComputeReport::default());
    assert!(error.unwrap_err().to_string().contains("5 of 8 rows"));
}

#[test]
fn every_parameter_learns() {
    for kind in ROUTED {
        let layer = Layer::new(kind);
        let tape = Tape::new();
        let x = tape.constant(&input(6, 24));
        let mut tilted = Groups::default();
        tilted.block(&[true; 16], 0.9, 1.0);
        tilted.block(&[true; 8], 0.2, 1.0);
        let (y, routing) = layer.forward(&x, &tilted, &mut ComputeReport::default()).unwrap();
        let loss = y.through(|y| Ok(y.sqr()?.sum_all()?)).unwrap();
        let loss = loss.add(&routing.unwrap().aux_loss).unwrap();
        let gradients = tape.backward(&loss).unwrap();
        assert_all_learn(layer.params.vars(), |var| gradients.get(var));
    }
}

#[test]
fn impossible_settings_are_refused() {
    let token = RoutingConfig {
        active: 1.0,
        ..config(RouterKind::TokenChoice)
    };
    assert!(
        token
            .validate(4)
            .unwrap_err()
            .to_string()
            .contains("teaches the router nothing")
    );
    let bare = RoutingConfig {
        experts: 0,
        ..config(RouterKind::ExpertChoice)
    };
    assert!(bare.validate(4).is_err() && config(RouterKind::ExpertChoice).validate(4).is_ok());
}
