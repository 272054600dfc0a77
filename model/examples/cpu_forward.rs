//! Seconds of one forward pass of a dense 165 M network over 512 positions, logits of all of them included.
//!
//! `RAYON_NUM_THREADS=1` measures one thread. Arguments: the formats, of `f32`, `q8_0` and `q4_k`; all by default.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a table for a terminal")]

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use drdiff_attention::Segment;
use drdiff_kernels::params::Param;
use drdiff_kernels::{Builder, Loaded, Noise, Rotary, Source, TilePlan, Visibility};
use drdiff_model::{Input, ModelConfig, Network};
use drdiff_routing::ComputeReport;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

const POSITIONS: usize = 512;

fn config() -> ModelConfig {
    ModelConfig {
        vocab: 50_258,
        width: 768,
        embed: 768,
        layers: 12,
        heads: 12,
        kv_heads: 12,
        head_dim: 64,
        hidden: 2048,
        context: 1024,
        rope_base: 10_000.0,
        norm_eps: 1e-6,
        noise_conditioning: false,
    }
}

/// Matrices in this format, the table of the vocabulary in `Q8_0`.
fn quantized(name: &str, tensor: &Tensor, kind: GgmlDType) -> Loaded {
    match tensor.dims() {
        [outputs, inputs] if outputs * inputs >= 16_384 => {
            let kind = if name == "embedding" { GgmlDType::Q8_0 } else { kind };
            Loaded::Quantized(QTensor::quantize(tensor, kind).unwrap())
        }
        _ => Loaded::Dense(tensor.clone()),
    }
}

fn network(tensors: BTreeMap<String, Loaded>) -> Network {
    let source = Source::Loaded {
        tensors,
        trainable: false,
    };
    let builder = Builder::new(source, &Device::Cpu);
    Network::new(&builder, &config(), DType::F32).unwrap().freeze().unwrap()
}

fn measure(name: &str, network: &Network) {
    let device = Device::Cpu;
    let plan = Arc::new(TilePlan::new(&[Visibility::dense(POSITIONS, POSITIONS)]).unwrap());
    let rotary = Rotary::new(&[(0..POSITIONS as i64).collect()], 64, 1e4, &device).unwrap();
    // Half of the positions are absorbed.
    let index: Vec<u32> = (0..POSITIONS as u32)
        .map(|i| if i % 2 == 0 { 50_258 } else { i * 97 })
        .collect();
    let input = Input::discrete(Tensor::from_vec(index, POSITIONS, &device).unwrap());
    let rows = Tensor::arange(0u32, POSITIONS as u32, &device).unwrap();
    let (mut best, mut best_head) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..5 {
        let start = Instant::now();
        let mut segments = [Segment {
            batch: 1,
            len: POSITIONS,
            plan: plan.clone(),
            rotary: &rotary,
            cache: None,
        }];
        let hidden = network
            .forward(&input, &mut segments, None, &mut ComputeReport::default())
            .unwrap();
        let body = start.elapsed().as_secs_f64();
        let evidence = network.evidence(&hidden, &rows).unwrap();
        let logits = network.logits(evidence.tensor()).unwrap();
        assert_eq!(logits.dims(), [POSITIONS, config().vocab]);
        let seconds = start.elapsed().as_secs_f64();
        if seconds < best {
            (best, best_head) = (seconds, seconds - body);
        }
    }
    println!("{name}: {best:.3} s, {best_head:.3} s of it logits");
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|other| other == name);
    let builder = Builder::new(Source::Init(Noise::new(1, 0)), &Device::Cpu);
    drop(Network::new(&builder, &config(), DType::F32).unwrap());
    let (params, _) = builder.finish();
    println!("{} parameters", params.element_count());
    let dense: Vec<(&str, Tensor)> = params
        .iter()
        .map(|(name, param)| match param {
            Param::Trained(var) => (name, var.as_detached_tensor()),
            _ => unreachable!("new parameters are trained"),
        })
        .collect();
    let load = |make: &dyn Fn(&str, &Tensor) -> Loaded| {
        let tensors = dense
            .iter()
            .map(|(name, x)| ((*name).to_owned(), make(name, x)))
            .collect();
        network(tensors)
    };
    if wants("f32") {
        measure("f32", &load(&|_, x| Loaded::Dense(x.clone())));
    }
    if wants("q8_0") {
        measure("Q8_0", &load(&|name, x| quantized(name, x, GgmlDType::Q8_0)));
    }
    if wants("q4_k") {
        measure("Q4_K", &load(&|name, x| quantized(name, x, GgmlDType::Q4K)));
    }
}
