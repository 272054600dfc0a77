//! The encoder of chunks against its definition in f64, and its gradients against the definition's slopes.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use drdiff_attention::Shape;
use drdiff_attention::retrieval::{CHUNK, ChunkEncoder, Chunks};
use drdiff_kernels::naive::{AttentionShape, attention, qk_norm_rope, rms_norm, swiglu};
use drdiff_kernels::{Builder, Params, Source, Tape, Value, Visibility};
use drdiff_noise::Noise;
use drdiff_testkit::{Inputs, assert_close, assert_gradient, tensor, values};

use crate::naive::dot;

const SHAPE: Shape = Shape {
    width: 12,
    heads: 2,
    kv_heads: 1,
    head_dim: 8,
    norm_eps: Some(1e-6),
    bias: false,
};
const LANDMARK: usize = 6;
const CHUNKS: usize = 2;
const EPS: f64 = 1e-6;

/// Parameters by name.
type Weights = BTreeMap<String, Vec<f64>>;

fn encoder() -> (ChunkEncoder, Params) {
    let builder = Builder::new(Source::Init(Noise::new(6, 0)), &Device::Cpu);
    let encoder = ChunkEncoder::new(&builder, SHAPE, LANDMARK, 10_000.0, EPS).unwrap();
    let (params, _) = builder.finish();
    // Gains that are all one would hide where they belong.
    for (index, (_, var)) in params.vars().filter(|(name, _)| name.contains("gain")).enumerate() {
        let gain = Inputs::new(index as u64).numbers(var.elem_count());
        let gain: Vec<f64> = gain.iter().map(|x| 1.0 + 0.3 * x).collect();
        var.set(&tensor(&gain, var.dims()).unwrap()).unwrap();
    }
    (encoder, params)
}

fn numbers(params: &Params) -> Weights {
    let number = |(name, var): (&str, &Var)| (name.to_owned(), values(var.as_tensor()).unwrap());
    params.vars().map(number).collect()
}

/// Rows of `x`, `inputs` numbers each, through a matrix.
fn through(x: &[f64], matrix: &[f64], inputs: usize) -> Vec<f64> {
    let rows = x.chunks(inputs);
    rows.flat_map(|row| matrix.chunks(inputs).map(|weights| dot(row, weights)))
        .collect()
}

fn add(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// Some of the columns of rows of `width`.
fn columns(x: &[f64], width: usize, from: usize, count: usize) -> Vec<f64> {
    x.chunks(width)
        .flat_map(|row| row[from..from + count].to_vec())
        .collect()
}

/// Keys, values and landmarks, one after another, of the chunks that the rows `x` make up.
fn definition(x: &[f64], weights: &Weights) -> Vec<f64> {
    let Shape {
        width,
        heads,
        kv_heads,
        head_dim,
        ..
    } = SHAPE;
    let (all, shared) = (heads * head_dim, kv_heads * head_dim);
    let of = |name: &str| weights[name].as_slice();
    let attend = |q: &[f64], k: &[f64], v: &[f64], queries| {
        let shape = AttentionShape {
            batch: CHUNKS,
            queries,
            keys: CHUNK,
            heads,
            key_heads: kv_heads,
            width: head_dim,
        };
        let scale = (head_dim as f64).powf(-0.5);
        attention(q, k, v, shape, &[Visibility::dense(queries, CHUNK)], scale).0
    };
    let normed = rms_norm(x, width, Some(of("attention_gain")), EPS);
    let qkv = through(&normed, of("attention.qkv"), width);
    let part = |from, count| columns(&qkv, all + 2 * shared, from, count);
    let positions = [(0..CHUNK as i64).collect()];
    let q = qk_norm_rope(
        &part(0, all),
        heads,
        (of("attention.q_gain"), Some(1e-6)),
        &positions,
        10_000.0,
    );
    let k = qk_norm_rope(
        &part(all, shared),
        kv_heads,
        (of("attention.k_gain"), Some(1e-6)),
        &positions,
        10_000.0,
    );
    let mixed = attend(&q, &k, &part(all + shared, shared), CHUNK);
    let x = add(x, &through(&mixed, of("attention.out"), all));
    let normed = rms_norm(&x, width, Some(of("feed_forward_gain")), EPS);
    let hidden = of("down").len() / width;
    let gated = swiglu(&through(&normed, of("gate_up"), width), 2 * hidden);
    let x = add(&x, &through(&gated, of("down"), hidden));
    let encoded = rms_norm(&x, width, Some(of("gain")), EPS);
    let keys = rms_norm(&through(&encoded, of("key"), width), head_dim, Some(of("k_gain")), EPS);
    let found = through(&encoded, of("value"), width);
    let pooled = attend(&of("pool").repeat(CHUNKS), &keys, &found, 1);
    let landmarks = through(&pooled, of("landmark"), all);
    let landmarks = rms_norm(&landmarks, LANDMARK, Some(of("landmark_gain")), EPS);
    [keys, found, landmarks].concat()
}

/// The encoder's keys, values and landmarks of rows that lie behind one that is in no chunk.
fn encode(encoder: &ChunkEncoder, x: &Value) -> [Value; 3] {
    let rows = Tensor::arange(1, 1 + (CHUNKS * CHUNK) as u32, &Device::Cpu).unwrap();
    let Chunks {
        keys,
        values,
        landmarks,
    } = encoder.forward(x, &rows).unwrap();
    [keys, values, landmarks]
}

#[test]
fn chunks_and_their_gradients_are_those_of_the_definition() {
    let (encoder, params) = encoder();
    let weights = numbers(&params);
    let width = SHAPE.width;
    let rows = 1 + CHUNKS * CHUNK;
    let x = Inputs::new(5).numbers(rows * width);
    let tape = Tape::new();
    let input = Var::from_tensor(&tensor(&x, &[rows, width]).unwrap()).unwrap();
    let made = encode(&encoder, &tape.enter(&input));
    let got: Vec<f64> = made.iter().flat_map(|part| values(part.tensor()).unwrap()).collect();
    let wanted = definition(&x[width..], &weights);
    assert_close("keys, values, landmarks", &got, &wanted);

    let slopes = Inputs::new(8).numbers(wanted.len());
    let mut first = 0;
    let losses = made.map(|part| {
        let count = part.tensor().elem_count();
        let dy = tensor(&slopes[first..first + count], part.tensor().dims()).unwrap();
        first += count;
        part.through(|part| Ok((part * &dy)?.sum_all()?)).unwrap()
    });
    let [keys, found, landmarks] = &losses;
    let loss = keys.add(found).unwrap().add(landmarks).unwrap();
    let gradients = tape.backward(&loss).unwrap();
    let gradient = |var: &Var| values(gradients.get(var.as_tensor()).unwrap()).unwrap();
    let by_row = |x: &[f64]| dot(&definition(&x[width..], &weights), &slopes);
    assert_gradient("x", by_row, &x, &gradient(&input));
    for (name, var) in params.vars() {
        let moved = |numbers: &[f64]| {
            let mut weights = weights.clone();
            weights.insert(name.to_owned(), numbers.to_vec());
            dot(&definition(&x[width..], &weights), &slopes)
        };
        assert_gradient(name, moved, &weights[name], &gradient(var));
    }
}
