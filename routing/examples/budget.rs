//! How much of the operations that a smaller budget saves is time saved: a feed-forward layer on the CPU, in f32 and with
//! weights of 8 bits.
//!
//!     cargo run --release -p drdiff-routing --example budget
//!
//! `RAYON_NUM_THREADS=1` measures one thread.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a table for a terminal")]

use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use drdiff_kernels::params::Param;
use drdiff_kernels::{Builder, Loaded, Source, Value};
use drdiff_noise::Noise;
use drdiff_routing::{Activation, ComputeReport, Cut, FeedForward, Groups, Read, RouterKind, RoutingConfig, Shape};

/// The layer of the preset `routed`.
const SHAPE: Shape = Shape {
    width: 512,
    hidden: 1088,
    activation: Activation::Silu,
};
const BUDGETS: [f64; 4] = [1.0, 0.75, 0.5, 0.25];
const CUTS: [Cut; 2] = [Cut::Rows, Cut::Experts];

fn layer(kind: RouterKind, cut: Cut, quantised: bool) -> (FeedForward, RoutingConfig) {
    let config = RoutingConfig {
        kind,
        cut,
        experts: 8,
        expert_hidden: 320,
        ..RoutingConfig::default()
    };
    let builder = Builder::new(Source::Init(Noise::new(1, 0)), &Device::Cpu);
    let fresh = FeedForward::new(&builder, SHAPE, Some(&config), 0.02).unwrap();
    if !quantised {
        return (fresh, config);
    }
    let (params, _) = builder.finish();
    let load = |(name, param): (&str, &Param)| {
        let Param::Trained(var) = param else {
            unreachable!("drawn anew")
        };
        let large = var.rank() == 2 && var.dims()[1].is_multiple_of(32) && !name.starts_with("router");
        let loaded = match large {
            true => Loaded::Quantized(QTensor::quantize(var.as_tensor(), GgmlDType::Q8_0).unwrap()),
            false => Loaded::Dense(var.as_tensor().copy().unwrap()),
        };
        (name.to_owned(), loaded)
    };
    let tensors: BTreeMap<String, Loaded> = params.iter().map(load).collect();
    let source = Source::Loaded {
        tensors,
        trainable: false,
    };
    let builder = Builder::new(source, &Device::Cpu);
    let layer = FeedForward::new(&builder, SHAPE, Some(&config), 0.02).unwrap();
    (layer, config)
}

/// For each budget the best time in seconds and the operations. Budgets take turns, since other programs slow some down.
fn times((layer, config): &(FeedForward, RoutingConfig), rows: usize) -> Vec<(f64, u64)> {
    let numbers: Vec<f32> = (0..rows * SHAPE.width).map(|i| (i as f32 * 0.7).sin()).collect();
    let x = Value::constant(&Tensor::from_vec(numbers, (rows, SHAPE.width), &Device::Cpu).unwrap());
    let mut best = vec![(f64::INFINITY, 0); BUDGETS.len()];
    let begun = Instant::now();
    while begun.elapsed().as_secs_f64() < 2.0 {
        for (budget, best) in BUDGETS.iter().zip(&mut best) {
            let mut groups = Groups::default();
            groups.block(&vec![true; rows], 0.0, *budget);
            let mut report = ComputeReport::default();
            let start = Instant::now();
            let placed = groups.place(config, rows, None, &Device::Cpu).unwrap();
            layer
                .forward(&x, (placed.as_ref(), &Read::All), 0, &mut report)
                .unwrap();
            *best = (best.0.min(start.elapsed().as_secs_f64()), report.flops());
        }
    }
    best
}

fn main() {
    println!("weights  router         cuts      rows  budget   GFLOP       ms  saved operations  saved time");
    for quantised in [false, true] {
        let kinds = [RouterKind::ExpertChoice, RouterKind::TokenChoice];
        for (kind, cut) in kinds.iter().flat_map(|kind| CUTS.map(|cut| (*kind, cut))) {
            let layer = layer(kind, cut, quantised);
            for rows in [16, 64, 512] {
                let times = times(&layer, rows);
                let (whole, most) = times[0];
                for (budget, (seconds, flops)) in BUDGETS.iter().zip(times) {
                    println!(
                        "{}  {:13}  {:7}  {rows:4}  {budget:6}  {:6.3}  {:7.3}  {:14.0} %  {:8.0} %",
                        if quantised { "Q8_0   " } else { "f32    " },
                        format!("{kind:?}"),
                        format!("{cut:?}"),
                        flops as f64 * 1e-9,
                        seconds * 1e3,
                        100.0 * (1.0 - flops as f64 / most as f64),
                        100.0 * (1.0 - seconds / whole)
                    );
                }
            }
        }
    }
}
