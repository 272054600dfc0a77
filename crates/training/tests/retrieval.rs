//! A layer that retrieves learns which chunks to choose, though nothing is learnt through the choice itself.

#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

use std::sync::Arc;

use candle_core::{Device, Tensor};
use drdiff_attention::retrieval::{CHUNK, ChunkEncoder, RetrievalAttention, Units};
use drdiff_attention::{Segment, Shape};
use drdiff_kernels::{Builder, Rotary, Source, Tape, TilePlan, Value};
use drdiff_noise::{Noise, NoiseStream, Purpose};
use drdiff_training::{Optimizer, OptimizerConfig};

const STEPS: u64 = 800;
const CHUNKS: usize = 8;
const LEN: usize = CHUNKS * CHUNK;
/// Numbers of a key, and of what is found under it.
const PART: usize = 4;
const SHAPE: Shape = Shape {
    width: 3 * PART,
    heads: 2,
    kv_heads: 1,
    head_dim: 8,
    norm_eps: Some(1e-6),
    bias: false,
};

/// Rows that each hold their chunk's key and value and the key of another chunk, outside of the band: `[LEN, 3 PART]`,
/// the values of those other chunks, `[LEN, PART]`, and their numbers by chunk.
fn task(stream: &mut NoiseStream, units: &Units) -> (Tensor, Tensor, Vec<usize>) {
    let mut draw = || -> Vec<Vec<f32>> {
        let mut number = || 3.46 * (stream.uniform() as f32 - 0.5);
        (0..CHUNKS).map(|_| (0..PART).map(|_| number()).collect()).collect()
    };
    let (keys, values) = (draw(), draw());
    let (mut rows, mut wanted, mut asked): (Vec<f32>, Vec<f32>, _) = (Vec::new(), Vec::new(), Vec::new());
    for (chunk, unit) in units.units().iter().enumerate() {
        let candidates: Vec<usize> = unit.candidates().collect();
        let other = candidates[stream.below(candidates.len())];
        asked.push(other);
        for _ in 0..CHUNK {
            rows.extend([&keys[chunk][..], &values[chunk], &keys[other]].concat());
            wanted.extend(&values[other]);
        }
    }
    let rows = Tensor::from_vec(rows, (LEN, 3 * PART), &Device::Cpu).unwrap();
    (
        rows,
        Tensor::from_vec(wanted, (LEN, PART), &Device::Cpu).unwrap(),
        asked,
    )
}

#[test]
fn what_is_asked_for_is_found_among_other_chunks() {
    let builder = Builder::new(Source::Init(Noise::new(2, 0)), &Device::Cpu);
    let encoder = ChunkEncoder::new(&builder.scope("encoder"), SHAPE, PART, 10_000.0, 1e-6).unwrap();
    let layer = RetrievalAttention::new(&builder.scope("layer"), SHAPE, (2, PART), 0.3, 1e-6).unwrap();
    let (params, _) = builder.finish();
    let config = OptimizerConfig {
        ema: 0.0,
        ..Default::default()
    };
    let mut optimizer = Optimizer::new(&params, &config).unwrap();
    let units = Arc::new(Units::whole(LEN, CHUNK).unwrap());
    let plan = Arc::new(TilePlan::from_tiles(LEN, LEN, |_, _| true));
    let rotary = Rotary::new(&[vec![0; LEN]], SHAPE.head_dim, 10_000.0, &Device::Cpu).unwrap();
    let (mut losses, mut found) = (Vec::new(), Vec::new());
    for step in 0..STEPS {
        let mut stream = Noise::new(3, 0).stream(Purpose::Data, step, 0);
        let (x, wanted, asked) = task(&mut stream, &units);
        let tape = Tape::new();
        let x = tape.constant(&x);
        let segment = Segment {
            batch: 1,
            len: LEN,
            plan: plan.clone().into(),
            units: Some(units.clone()),
            rotary: &rotary,
            past: None,
        };
        let fields = encoder.read(&x, &mut [segment]).unwrap();
        let y: Value = layer.forward(&x, &fields).unwrap();
        let error = |y: &Tensor| Ok((y.narrow(1, 0, PART)? - &wanted)?.sqr()?.mean_all()?);
        let loss = y.through(error).unwrap();
        losses.push(loss.tensor().to_scalar::<f32>().unwrap());
        let right = (0..CHUNKS).filter(|chunk| {
            let rows = chunk * CHUNK..(chunk + 1) * CHUNK;
            fields[0].choices.of(&units, &rows)[0].contains(&asked[*chunk])
        });
        found.push(right.count());
        optimizer.step(tape.backward(&loss).unwrap(), 1e-2, &config).unwrap();
    }
    let last = losses.len() - 20;
    let mean = losses[last..].iter().sum::<f32>() / 20.0;
    let share = |found: &[usize]| found.iter().sum::<usize>() as f64 / (20 * CHUNKS) as f64;
    let (blind, share) = (share(&found[..20]), share(&found[last..]));
    assert!(share > 0.95 && blind < 0.5, "from {blind} to {share}");
    assert!(mean < 0.2, "{mean} of the values' variance of 1");
}
