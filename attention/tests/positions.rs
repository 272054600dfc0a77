//! Attention depends on distances, not on where a text stands.

#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

use candle_core::{Device, Tensor};
use drdiff_attention::{LengthAdaptive, Segment, SelfAttention, Shape};
use drdiff_kernels::{Builder, Rotary, Source, TilePlan, Value};
use drdiff_noise::Noise;
use drdiff_testkit::{Inputs, assert_close, relative_rms, tensor, values};

const LEN: usize = 300;
const SHAPE: Shape = Shape {
    width: 24,
    heads: 2,
    kv_heads: 1,
    head_dim: 16,
    norm_eps: Some(1e-6),
    bias: false,
};

/// The layer over a fixed input at `positions`.
fn attend(positions: Vec<i64>) -> Vec<f64> {
    let builder = Builder::new(Source::Init(Noise::new(8, 0)), &Device::Cpu);
    let layer = SelfAttention::new(&builder, SHAPE, 0.2).unwrap();
    let pattern = LengthAdaptive {
        dense: 128,
        cell: 64,
        rings: Vec::new(),
        ..LengthAdaptive::default()
    };
    let plan: TilePlan = pattern.whole(LEN).unwrap();
    let x: Tensor = tensor(&Inputs::new(3).numbers(LEN * SHAPE.width), &[LEN, SHAPE.width]).unwrap();
    let rotary = Rotary::new(&[positions], SHAPE.head_dim, 10_000.0, &Device::Cpu).unwrap();
    let segment = Segment {
        batch: 1,
        len: LEN,
        plan: plan.into(),
        units: None,
        rotary: &rotary,
        past: None,
    };
    values(layer.forward(&Value::constant(&x), &mut [segment], 0).unwrap().tensor()).unwrap()
}

#[test]
fn moving_a_text_changes_nothing() {
    let here = attend((0..LEN as i64).collect());
    for far in [1 << 10, (1 << 24) + 1, 1 << 25, (1 << 40) + 12_345, 1 << 50] {
        let there = attend((far..far + LEN as i64).collect());
        assert_close(&format!("{far} positions on"), &there, &here);
    }
    let stretched = attend((0..LEN as i64).map(|p| 2 * p).collect());
    assert!(relative_rms("stretched", &stretched, &here) > 1e-3, "distances matter");
}
