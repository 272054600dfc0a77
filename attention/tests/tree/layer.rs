//! The layer in which a network attends by trees.

use candle_core::{Device, Tensor};
use drdiff_attention::{
    AttentionConfig, LayerPlans, NoisyClean, Pattern, PlanKind, Segment, SelfAttention, Shape, TreeConfig, Whole,
};
use drdiff_kernels::{Builder, Rotary, Source, Tape, Value};
use drdiff_noise::Noise;
use drdiff_testkit::{Inputs, assert_all_learn, assert_close, relative_rms, tensor, values};

const SHAPE: Shape = Shape {
    width: 24,
    heads: 2,
    kv_heads: 1,
    head_dim: 16,
    norm_eps: Some(1e-6),
    bias: false,
};
const BATCH: usize = 2;
const LEN: usize = 21;

fn attention() -> AttentionConfig {
    AttentionConfig {
        plan: PlanKind::Tree,
        layers: vec![1],
        tree: TreeConfig {
            branching: vec![4, 3],
            near: 0,
        },
        ..AttentionConfig::default()
    }
}

fn builder() -> Builder {
    Builder::new(Source::Init(Noise::new(8, 0)), &Device::Cpu)
}

/// Layer `which` over `texts` texts a sequence.
fn run(layer: &SelfAttention, x: &Value, plan: LayerPlans, texts: usize, which: usize) -> Value {
    run_from(0, layer, x, plan, texts, which)
}

/// The same for texts that begin at position `first`.
fn run_from(first: i64, layer: &SelfAttention, x: &Value, plan: LayerPlans, texts: usize, which: usize) -> Value {
    let once = first..first + LEN as i64;
    let positions = (0..texts).flat_map(|_| once.clone()).collect();
    let rotary = Rotary::new(&[positions], SHAPE.head_dim, 10_000.0, &Device::Cpu).unwrap();
    let segment = Segment {
        batch: BATCH,
        len: texts * LEN,
        plan,
        units: None,
        rotary: &rotary,
        past: None,
    };
    layer.forward(x, &mut [segment], which).unwrap()
}

fn rows(texts: usize) -> Tensor {
    let rows = BATCH * texts * LEN;
    tensor(&Inputs::new(3).numbers(rows * SHAPE.width), &[rows, SHAPE.width]).unwrap()
}

#[test]
fn each_half_of_the_training_layout_is_a_tree_of_its_own() {
    let layer = SelfAttention::new(&builder(), SHAPE, 0.2).unwrap();
    let attention = attention();
    let halves = NoisyClean {
        attention: attention.clone(),
        causal: false,
    };
    let plan = halves.plan(LEN, LEN).unwrap();
    let x = rows(2);
    let both = run(&layer, &Value::constant(&x), plan.clone(), 2, 1);
    let half = |x: &Tensor, half| {
        let parts = x.reshape((BATCH, 2, LEN, SHAPE.width)).unwrap();
        parts
            .narrow(1, half, 1)
            .unwrap()
            .reshape((BATCH * LEN, SHAPE.width))
            .unwrap()
    };
    let alone = Whole { attention }.plan(LEN, 1).unwrap();
    for which in [0, 1] {
        let wanted = run(&layer, &Value::constant(&half(&x, which)), alone.clone(), 1, 1);
        let found = values(&half(both.tensor(), which)).unwrap();
        assert_close("a half", &found, &values(wanted.tensor()).unwrap());
    }
    let dense = run(&layer, &Value::constant(&x), plan, 2, 0);
    let dense = values(dense.tensor()).unwrap();
    assert!(relative_rms("a dense layer", &dense, &values(both.tensor()).unwrap()) > 1e-3);
}

#[test]
fn moving_a_text_far_away_changes_nothing() {
    let layer = SelfAttention::new(&builder(), SHAPE, 0.2).unwrap();
    let x = Value::constant(&rows(1));
    let plan = Whole { attention: attention() }.plan(LEN, 1).unwrap();
    let at = |first| values(run_from(first, &layer, &x, plan.clone(), 1, 1).tensor()).unwrap();
    for far in [1 << 25, (1 << 40) + 12_345] {
        assert_close(&format!("{far} positions on"), &at(far), &at(0));
    }
}

/// A layer by the tree in blocks, over a text of two levels in the training layout whose halves begin at position `first`.
fn in_blocks(first: i64, layer: &SelfAttention, x: &Value) -> Value {
    let attention: AttentionConfig =
        serde_json::from_str(r#"{"plan": "tree", "tree": {"branching": [64, 2]}}"#).unwrap();
    let once = first..first + TEXT as i64;
    let positions = once.clone().chain(once).collect();
    let rotary = Rotary::new(&[positions], SHAPE.head_dim, 10_000.0, &Device::Cpu).unwrap();
    let segment = Segment {
        batch: 1,
        len: 2 * TEXT,
        plan: NoisyClean {
            attention,
            causal: false,
        }
        .plan(TEXT, 16)
        .unwrap(),
        units: None,
        rotary: &rotary,
        past: None,
    };
    layer.forward(x, &mut [segment], 0).unwrap()
}

/// Positions of that text.
const TEXT: usize = 320;

fn rows_in_blocks() -> Tensor {
    tensor(
        &Inputs::new(4).numbers(2 * TEXT * SHAPE.width),
        &[2 * TEXT, SHAPE.width],
    )
    .unwrap()
}

#[test]
fn in_blocks_moving_a_text_far_away_changes_nothing() {
    let layer = SelfAttention::new(&builder(), SHAPE, 0.2).unwrap();
    let x = Value::constant(&rows_in_blocks());
    let at = |first| values(in_blocks(first, &layer, &x).tensor()).unwrap();
    for far in [1 << 25, (1 << 40) + 12_345] {
        assert_close(&format!("{far} positions on"), &at(far), &at(0));
    }
}

#[test]
fn in_blocks_nobody_sees_what_comes_later() {
    let layer = SelfAttention::new(&builder(), SHAPE, 0.2).unwrap();
    let out = |x: &Tensor| values(in_blocks(0, &layer, &Value::constant(x)).tensor()).unwrap();
    let (x, row) = (rows_in_blocks(), SHAPE.width);
    // Clean rows from this position on are others; so noisy rows of its block and before, and clean ones before, are the same.
    let changed = 208;
    let mut other = values(&x).unwrap();
    other[(TEXT + changed) * row..].iter_mut().for_each(|x| *x = 1.0 - *x);
    let (one, two) = (out(&x), out(&tensor(&other, &[2 * TEXT, row]).unwrap()));
    let noisy = (changed + 16) * row;
    assert_eq!(one[..noisy], two[..noisy]);
    let clean = TEXT * row..(TEXT + changed) * row;
    assert_eq!(one[clean.clone()], two[clean]);
    assert_ne!(one[noisy..noisy + row], two[noisy..noisy + row], "later blocks see it");
}

#[test]
fn in_blocks_every_parameter_learns() {
    let builder = builder();
    let layer = SelfAttention::new(&builder, SHAPE, 0.2).unwrap();
    let (params, _) = builder.finish();
    let tape = Tape::new();
    let out = in_blocks(0, &layer, &tape.constant(&rows_in_blocks()));
    let loss = out.through(|out| Ok(out.sqr()?.sum_all()?)).unwrap();
    let gradients = tape.backward(&loss).unwrap();
    assert_all_learn(params.vars(), |parameter| gradients.get(parameter));
}

#[test]
fn every_parameter_learns() {
    let builder = builder();
    let layer = SelfAttention::new(&builder, SHAPE, 0.2).unwrap();
    let (params, _) = builder.finish();
    let tape = Tape::new();
    let plan = Whole { attention: attention() }.plan(LEN, 1).unwrap();
    let out = run(&layer, &tape.constant(&rows(1)), plan, 1, 1);
    let loss = out.through(|out| Ok(out.sqr()?.sum_all()?)).unwrap();
    let gradients = tape.backward(&loss).unwrap();
    assert_all_learn(params.vars(), |parameter| gradients.get(parameter));
}
