//! What a network that retrieves makes of a text: where the text stands plays no part, and what is found stays beside the
//! residual stream.

#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

use candle_core::{DType, Device, Tensor};
use drdiff_attention::{NoisyClean, Pattern, Segment, Whole};
use drdiff_kernels::{Builder, Params, Rotary, Source};
use drdiff_model::{Input, LongText, ModelConfig, Network};
use drdiff_noise::Noise;
use drdiff_testkit::{Inputs, assert_close, relative_rms, tensor, values};

const LEN: usize = 512;
const VOCAB: u32 = 40;

/// A network of four layers, of which the last two retrieve.
fn network() -> (Network, Params) {
    let json = r#"{"vocab":40,"width":32,"embed":32,"layers":4,"heads":2,"kv_heads":1,"head_dim":16,"hidden":48,"context":512,
        "attention":{"plan":"retrieval","neighbours":3,"retrieval":{"top_k":2,"local":64,"groups":2,"landmark":16}}}"#;
    let config: ModelConfig = serde_json::from_str(json).unwrap();
    let builder = Builder::new(Source::Init(Noise::new(3, 0)), &Device::Cpu);
    let network = Network::new(&builder, &config, DType::F32).unwrap();
    let (params, _) = builder.finish();
    (network, params)
}

/// The evidence that the network adds at all rows of a text that begins at position `first`, whole or as `[noisy | clean]`
/// in blocks of 64.
fn evidence(network: &Network, first: i64, whole: bool) -> Vec<f64> {
    let config = network.config();
    let attention = config.attention.clone();
    let once = (first..first + LEN as i64).collect::<Vec<i64>>();
    let (plan, units, positions) = if whole {
        let units = attention.whole_units(LEN).unwrap();
        (Whole { attention }.plan(LEN, LEN).unwrap(), units, once)
    } else {
        let units = attention.noisy_clean_units(LEN, 64).unwrap();
        (
            NoisyClean {
                attention,
                causal: false,
            }
            .plan(LEN, 64)
            .unwrap(),
            units,
            once.repeat(2),
        )
    };
    let rows = positions.len();
    let rotary = Rotary::new(&[positions], config.head_dim, config.rope_base, &Device::Cpu).unwrap();
    let segment = Segment {
        batch: 1,
        len: rows,
        plan,
        units,
        rotary: &rotary,
        past: None,
    };
    // Of the first half some are absorbed.
    let drawn = Inputs::new(4).whole(rows, VOCAB as usize + 9).into_iter().zip(0..);
    let ids = drawn.map(|(id, row)| match row < LEN {
        true => (id as u32).min(VOCAB),
        false => id as u32 % VOCAB,
    });
    let input = Input::discrete(Tensor::from_iter(ids, &Device::Cpu).unwrap());
    let tables = network.tables(None).unwrap();
    let hidden = network
        .hidden(&tables, &input, &mut [segment], &mut Default::default())
        .unwrap();
    values(network.evidence(&hidden).unwrap().tensor()).unwrap()
}

/// Sets all parameters whose names end like this to random numbers times `size`.
fn set(params: &Params, ending: &str, size: f64) {
    let mut found = 0;
    for (name, var) in params.vars().filter(|(name, _)| name.ends_with(ending)) {
        let numbers = Inputs::new(name.len() as u64).numbers(var.elem_count());
        let numbers: Vec<f64> = numbers.iter().map(|x| size * x).collect();
        var.set(&tensor(&numbers, var.dims()).unwrap()).unwrap();
        found += 1;
    }
    assert!(found > 0, "{ending}");
}

#[test]
fn moving_a_text_far_away_changes_nothing() {
    let (network, params) = network();
    set(&params, "retrieval.out", 0.5);
    for whole in [true, false] {
        let here = evidence(&network, 0, whole);
        for far in [1 << 25, (1 << 40) + 12_345] {
            assert_close(&format!("{far} positions on"), &evidence(&network, far, whole), &here);
        }
    }
}

#[test]
fn what_is_retrieved_reaches_the_stream_through_the_feed_forward_half_alone() {
    let (network, params) = network();
    for whole in [true, false] {
        set(&params, "feed_forward.shared.down", 0.2);
        set(&params, "retrieval.out", 0.0);
        let before = evidence(&network, 0, whole);
        set(&params, "retrieval.out", 0.5);
        assert!(relative_rms("found", &evidence(&network, 0, whole), &before) > 1e-3);
        // Layer 2 retrieves first: what it finds is lost there, and what the last layer finds goes on.
        set(&params, "blocks.2.feed_forward.shared.down", 0.0);
        let before = evidence(&network, 0, whole);
        set(&params, "blocks.2.retrieval.out", -1.0);
        assert_eq!(evidence(&network, 0, whole), before);
        set(&params, "blocks.3.retrieval.out", -1.0);
        assert_ne!(evidence(&network, 0, whole), before);
        set(&params, "feed_forward.shared.down", 0.0);
        let before = evidence(&network, 0, whole);
        set(&params, "retrieval.out", 0.5);
        assert_eq!(evidence(&network, 0, whole), before);
    }
}

#[test]
fn texts_are_not_read_in_pieces_by_layers_that_see_beyond_the_band() {
    let mut config = network().0.config().clone();
    config.attention.layers = vec![2, 3];
    let builder = Builder::new(Source::Init(Noise::new(3, 0)), &Device::Cpu);
    let network = Network::new(&builder, &config, DType::F32).unwrap();
    let refused = LongText::new(&network, 1024, 256).err().unwrap().to_string();
    assert!(refused.contains("in all layers"), "{refused}");
}
