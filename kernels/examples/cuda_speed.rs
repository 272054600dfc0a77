//! How fast the CUDA forms are: milliseconds, and what part of the machine that uses.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a table for a terminal")]

use candle_core::{DType, Device, Result, Tensor, Var};
use drdiff_kernels::{
    DeviceKind, KeyCode, QueryCode, Rotary, TilePlan, Visibility, device, embedding, linear_cross_entropy,
    qk_norm_rope, rms_norm, swiglu, tile_attention,
};
use std::sync::Arc;
use std::time::Instant;

const RUNS: usize = 10;

/// Milliseconds of one run.
fn time(device: &Device, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    run()?;
    device.synchronize()?;
    let start = Instant::now();
    for _ in 0..RUNS {
        run()?;
    }
    device.synchronize()?;
    Ok(start.elapsed().as_secs_f64() * 1e3 / RUNS as f64)
}

/// Forward, and forward with backward.
fn both(device: &Device, inputs: &[&Var], op: impl Fn(&[Tensor]) -> Tensor) -> Result<(f64, f64)> {
    let detached: Vec<Tensor> = inputs.iter().map(|x| x.as_detached_tensor()).collect();
    let tracked: Vec<Tensor> = inputs.iter().map(|x| x.as_tensor().clone()).collect();
    let forward = time(device, || {
        op(&detached);
        Ok(())
    })?;
    let all = time(device, || op(&tracked).backward().map(|_| ()))?;
    Ok((forward, all - forward))
}

fn noise(shape: &[usize], dtype: DType, device: &Device) -> Result<Var> {
    let count = shape.iter().product::<usize>();
    let wave = (Tensor::arange(0u32, count as u32, device)?.to_dtype(DType::F32)? * 0.7)?.sin()?;
    Var::from_tensor(&wave.reshape(shape)?.to_dtype(dtype)?)
}

fn blocks(length: usize, size: i32) -> Visibility {
    let query = |i: i32| QueryCode {
        limit: i / size * size - 1,
        group: i / size,
    };
    let key = |i: i32| KeyCode {
        time: i,
        group: i / size,
    };
    Visibility {
        queries: (0..length as i32).map(query).collect(),
        keys: (0..length as i32).map(key).collect(),
    }
}

fn attention(device: &Device) -> Result<()> {
    for (heads, width) in [(12, 64), (8, 128)] {
        for (length, batch) in [(1024, 32), (4096, 8), (16384, 2)] {
            for (name, sequence) in [
                ("dense", Visibility::dense(length, length)),
                ("blocks", blocks(length, 64)),
            ] {
                let plan = Arc::new(TilePlan::new(&[sequence]).unwrap());
                let fused = noise(&[batch, length, 3 * heads, width], DType::BF16, device)?;
                let (forward, backward) = both(device, &[&fused], |x| {
                    let part = |i| x[0].narrow(2, i * heads, heads).unwrap();
                    let scale = (width as f64).powf(-0.5);
                    tile_attention(&part(0), &part(1), &part(2), &plan, scale).unwrap().out
                })?;
                let work = 4.0 * plan.cost().pairs as f64 * (batch * heads * width) as f64 / 1e9;
                println!(
                    "attention {name:6} {batch:2} x {length:5} x {heads:2} x {width:3}: forward {forward:8.3} ms, {:4.0} \
                     TFLOP/s; backward {backward:8.3} ms, {:4.0} TFLOP/s",
                    work / forward,
                    2.5 * work / backward
                );
            }
        }
    }
    Ok(())
}

fn rest(device: &Device) -> Result<()> {
    let (rows, width) = (32768, 768);
    let line = |name: &str, (forward, backward): (f64, f64)| {
        println!("{name:28}: forward {forward:8.3} ms, backward {backward:8.3} ms");
    };
    let (x, gain) = (
        noise(&[rows, width], DType::BF16, device)?,
        noise(&[width], DType::F32, device)?,
    );
    line(
        "rms_norm 32k x 768",
        both(device, &[&x, &gain], |x| rms_norm(&x[0], Some(&x[1]), 1e-6).unwrap())?,
    );
    let heads = noise(&[32, 1024, 12, 64], DType::BF16, device)?;
    let head_gain = noise(&[64], DType::F32, device)?;
    let rotary = Rotary::new(&[(0..1024).collect()], 64, 1e4, device).unwrap();
    line(
        "rotation 32k x 12 x 64",
        both(device, &[&heads, &head_gain], |x| {
            qk_norm_rope(&x[0], &x[1], &rotary).unwrap()
        })?,
    );
    let wide = noise(&[rows, 4096], DType::BF16, device)?;
    line("swiglu 32k x 2048", both(device, &[&wide], |x| swiglu(&x[0]).unwrap())?);
    let (table, bias) = (
        noise(&[50304, width], DType::F32, device)?,
        noise(&[50304], DType::F32, device)?,
    );
    let targets = Tensor::arange(0u32, rows as u32, device)?;
    line(
        "embedding 32k of 50k x 768",
        both(device, &[&table], |x| embedding(&targets, &x[0]).unwrap())?,
    );
    let weights = Tensor::ones(rows, DType::F32, device)?;
    let head = |x: &[Tensor]| {
        linear_cross_entropy(&x[0], &x[1], &x[2], &targets, &weights)
            .unwrap()
            .loss
    };
    line("cross-entropy 32k x 50k", both(device, &[&x, &table, &bias], head)?);
    Ok(())
}

fn main() -> Result<()> {
    let device = device(DeviceKind::Cuda(0)).unwrap();
    attention(&device)?;
    rest(&device)
}
