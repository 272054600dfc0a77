//! How fast the CPU forms are: the products of a 165 M model for 512 positions, and attention.
//!
//! `RAYON_NUM_THREADS=1` measures one thread.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a table for a terminal")]

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{D, Device, Module, Result, Tensor};
use drdiff_kernels::{Builder, Init, Linear, Loaded, Source, TilePlan, Visibility, tile_attention};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// The best of a few runs, in seconds: other programs only ever add time.
fn time(mut run: impl FnMut() -> Result<Tensor>) -> Result<f64> {
    run()?;
    let mut best = f64::INFINITY;
    let begin = Instant::now();
    for _ in 0..20 {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed().as_secs_f64());
        if begin.elapsed().as_secs_f64() > 1.0 {
            break;
        }
    }
    Ok(best)
}

fn wave(shape: &[usize]) -> Result<Tensor> {
    let count = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.7).sin()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

fn linear(weight: &Tensor, kind: GgmlDType) -> Result<Linear> {
    let tensors = BTreeMap::from([("map".to_owned(), Loaded::Quantized(QTensor::quantize(weight, kind)?))]);
    let source = Source::Loaded {
        tensors,
        trainable: false,
    };
    let (outputs, inputs) = weight.dims2()?;
    Ok(Builder::new(source, &Device::Cpu)
        .linear("map", outputs, inputs, Init::Const(0.0))
        .unwrap())
}

fn products() -> Result<()> {
    let candle = std::env::var_os("CANDLE").is_some();
    for rows in [512, 64, 16, 8, 1] {
        for (inputs, outputs) in [(768, 2304), (768, 768), (768, 4096), (2048, 768), (768, 50_258)] {
            let (x, weight) = (wave(&[rows, inputs])?, wave(&[outputs, inputs])?);
            let work = 2e-9 * (rows * inputs * outputs) as f64;
            let line = |name: &str, seconds: f64| {
                println!(
                    "{rows:3} x {inputs:4} x {outputs:5} {name:12}: {:8.3} ms, {:7.1} GFLOP/s",
                    seconds * 1e3,
                    work / seconds
                );
            };
            let dense = Linear::Dense(weight.clone());
            line("f32", time(|| Ok(dense.forward(&x).unwrap()))?);
            for (name, kind) in [("Q8_0", GgmlDType::Q8_0), ("Q4_K", GgmlDType::Q4K)] {
                let map = linear(&weight, kind)?;
                line(name, time(|| Ok(map.forward(&x).unwrap()))?);
                if candle {
                    let map = QMatMul::from_qtensor(QTensor::quantize(&weight, kind)?)?;
                    line(&format!("candle {name}"), time(|| map.forward(&x))?);
                }
            }
        }
    }
    Ok(())
}

fn attention() -> Result<()> {
    let (heads, width) = (12, 64);
    let scale = (width as f64).powf(-0.5);
    for length in [512, 1024, 16_384] {
        let plan = Arc::new(TilePlan::new(&[Visibility::dense(length, length)]).unwrap());
        let qkv = wave(&[1, length, 3 * heads, width])?;
        let part = |i| qkv.narrow(2, i * heads, heads).unwrap();
        let (q, k, v) = (part(0), part(1), part(2));
        let work = 4e-9 * (length * length * heads * width) as f64;
        let seconds = time(|| Ok(tile_attention(&q, &k, &v, &plan, scale).unwrap().out))?;
        println!(
            "attention {length:5} tiles: {:8.1} ms, {:6.1} GFLOP/s",
            seconds * 1e3,
            work / seconds
        );
        if length > 1024 {
            continue;
        }
        let [q, k, v] = [q, k, v].map(|x| x.transpose(1, 2).unwrap().contiguous().unwrap());
        let naive = time(|| {
            let scores = (q.matmul(&k.t()?)? * scale)?;
            let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
            weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?.matmul(&v)
        })?;
        println!(
            "attention {length:5} naive: {:8.1} ms, {:6.1} GFLOP/s, {:.1} times slower",
            naive * 1e3,
            work / naive,
            naive / seconds
        );
    }
    Ok(())
}

fn main() -> Result<()> {
    products()?;
    attention()
}
