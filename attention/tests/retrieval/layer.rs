//! Encoder and layer together: nothing is learned in vain, and nobody sees what lies ahead.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use drdiff_attention::retrieval::{ChunkEncoder, Field, RetrievalAttention, Units};
use drdiff_attention::{Segment, Shape};
use drdiff_kernels::{Builder, Params, Rotary, Source, Tape, TilePlan, Value};
use drdiff_noise::Noise;
use drdiff_testkit::{Inputs, assert_all_learn, assert_close, tensor, values};

const SHAPE: Shape = Shape {
    width: 12,
    heads: 2,
    kv_heads: 1,
    head_dim: 8,
    norm_eps: Some(1e-6),
    bias: false,
};
const LEN: usize = 512;

struct Pair {
    encoder: ChunkEncoder,
    layer: RetrievalAttention,
    params: Params,
}

fn pair() -> Pair {
    let builder = Builder::new(Source::Init(Noise::new(6, 0)), &Device::Cpu);
    let encoder = ChunkEncoder::new(&builder.scope("encoder"), SHAPE, 6, 10_000.0, 1e-6).unwrap();
    let layer = RetrievalAttention::new(&builder.scope("layer"), SHAPE, (2, 6), 0.3, 1e-6).unwrap();
    let (params, _) = builder.finish();
    Pair { encoder, layer, params }
}

impl Pair {
    fn forward(&self, x: &Value, units: &[Units], batch: usize) -> Value {
        self.layer.forward(x, &self.fields(x, units, batch)).unwrap()
    }

    /// What each of these texts, `batch` of each, can retrieve.
    fn fields(&self, x: &Value, units: &[Units], batch: usize) -> Vec<Field> {
        let plan = Arc::new(TilePlan::from_tiles(1, 1, |_, _| true));
        let rotary = Rotary::new(&[vec![0]], SHAPE.head_dim, 10_000.0, &Device::Cpu).unwrap();
        let segment = |units: &Units| Segment {
            batch,
            len: units.rows(),
            plan: plan.clone().into(),
            units: Some(Arc::new(units.clone())),
            rotary: &rotary,
            past: None,
        };
        let mut segments: Vec<Segment<'_>> = units.iter().map(segment).collect();
        self.encoder.read(x, &mut segments).unwrap()
    }

    fn numbers(&self, x: &[f64], units: &Units, batch: usize) -> Vec<f64> {
        let x = tensor(x, &[batch * units.rows(), SHAPE.width]).unwrap();
        values(
            self.forward(&Value::constant(&x), std::slice::from_ref(units), batch)
                .tensor(),
        )
        .unwrap()
    }
}

#[test]
fn every_parameter_learns() {
    let pair = pair();
    for units in [Units::noisy_clean(LEN, 16, 64).unwrap(), Units::whole(LEN, 64).unwrap()] {
        let tape = Tape::new();
        let shape = [2 * units.rows(), SHAPE.width];
        let x = tensor(&Inputs::new(4).numbers(shape[0] * shape[1]), &shape).unwrap();
        let y = pair.forward(&tape.constant(&x), std::slice::from_ref(&units), 2);
        let dy: Tensor = tensor(&Inputs::new(5).numbers(shape[0] * shape[1]), &shape).unwrap();
        let loss = y.through(|y| Ok((y * dy)?.sum_all()?)).unwrap();
        let gradients = tape.backward(&loss).unwrap();
        assert_all_learn(pair.params.vars(), |var| gradients.get(var));
    }
}

#[test]
fn rows_do_not_depend_on_what_they_may_not_see() {
    let pair = pair();
    for block in [8, 16, 64, 256] {
        let units = Units::noisy_clean(LEN, block, 64).unwrap();
        let x = Inputs::new(9).numbers(2 * LEN * SHAPE.width);
        let before = pair.numbers(&x, &units, 1);
        for changed in [130, 255, 256, 400] {
            // What a noisy position holds is for its own block; what a clean one holds, for its block's clean rows and
            // all later blocks.
            for (half, clean) in [(0, false), (LEN, true)] {
                let mut x = x.clone();
                x[(half + changed) * SHAPE.width..][..SHAPE.width].fill(2.0);
                let after = pair.numbers(&x, &units, 1);
                for row in 0..2 * LEN {
                    let (own, other) = (row % LEN / block, changed / block);
                    let sees = match (row < LEN, clean) {
                        (true, false) => own == other,
                        (false, false) => false,
                        (true, true) => own > other,
                        (false, true) => own >= other,
                    };
                    let same = before[row * SHAPE.width..][..SHAPE.width] == after[row * SHAPE.width..][..SHAPE.width];
                    assert!(same || sees, "block {block}: row {row} sees {changed}, clean: {clean}");
                }
            }
        }
        let mut x = x.clone();
        x[LEN * SHAPE.width..][..SHAPE.width].fill(2.0);
        assert_ne!(pair.numbers(&x, &units, 1), before, "the first clean chunk is read");
    }
}

#[test]
fn a_batch_is_its_sequences() {
    let pair = pair();
    let units = Units::noisy_clean(320, 32, 64).unwrap();
    let each = units.rows() * SHAPE.width;
    let x = Inputs::new(2).numbers(3 * each);
    let alone: Vec<f64> = x.chunks(each).flat_map(|x| pair.numbers(x, &units, 1)).collect();
    assert_close("batch", &pair.numbers(&x, &units, 3), &alone);
}

#[test]
fn a_text_without_a_whole_chunk_retrieves_nothing() {
    let pair = pair();
    let units = Units::whole(40, 64).unwrap();
    let x = Inputs::new(2).numbers(40 * SHAPE.width);
    assert!(pair.numbers(&x, &units, 1).iter().all(|x| *x == 0.0));
}

#[test]
fn segments_side_by_side_are_those_alone() {
    let pair = pair();
    let units = [Units::whole(320, 64).unwrap(), Units::whole(200, 64).unwrap()];
    let counts = [320 * SHAPE.width, 200 * SHAPE.width];
    let x = Inputs::new(3).numbers(counts[0] + counts[1]);
    let all = Value::constant(&tensor(&x, &[520, SHAPE.width]).unwrap());
    let mut alone = pair.numbers(&x[..counts[0]], &units[0], 1);
    alone.extend(pair.numbers(&x[counts[0]..], &units[1], 1));
    let got = pair.forward(&all, &units, 1);
    assert_close("segments", &values(got.tensor()).unwrap(), &alone);
    let learning = Tape::new().constant(all.tensor());
    assert!(pair.layer.forward(&learning, &pair.fields(&all, &units, 1)).is_err());
}
