//! A text that is read piece by piece, and changed in places, gives what one pass through it gives.

#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use drdiff_attention::{Pattern, Segment, Whole};
use drdiff_kernels::{Builder, Rotary, Source};
use drdiff_model::{Input, LongText, ModelConfig, Network};
use drdiff_noise::Noise;
use drdiff_testkit::{assert_close, values};

const VOCAB: u32 = 40;

fn network() -> Network {
    let json = r#"{"vocab":40,"width":32,"embed":32,"layers":4,"heads":2,"kv_heads":1,"head_dim":16,"hidden":48,"context":256,
        "attention":{"plan":"retrieval","neighbours":5,"retrieval":{"top_k":2,"local":64,"groups":2,"landmark":16}}}"#;
    let config: ModelConfig = serde_json::from_str(json).unwrap();
    let builder = Builder::new(Source::Init(Noise::new(3, 0)), &Device::Cpu);
    Network::new(&builder, &config, DType::F32).unwrap()
}

fn text(len: usize) -> Vec<u32> {
    (0..len as u32).map(|i| (i * i / 3 + 7 * i) % (VOCAB + 1)).collect()
}

/// The logits of one pass through the whole text.
fn whole(network: &Network, text: &[u32], rows: &Range<usize>) -> Vec<f64> {
    let config = network.config();
    let attention = config.attention.clone();
    let units = attention.whole_units(text.len()).unwrap();
    let positions = (0..text.len() as i64).collect();
    let rotary = Rotary::new(&[positions], config.head_dim, config.rope_base, &Device::Cpu).unwrap();
    let segment = Segment {
        batch: 1,
        len: text.len(),
        plan: Whole { attention }.plan(text.len(), text.len()).unwrap(),
        units,
        rotary: &rotary,
        past: None,
    };
    let rows = Tensor::arange(rows.start as u32, rows.end as u32, &Device::Cpu).unwrap();
    let input = Input::discrete(Tensor::from_slice(text, text.len(), &Device::Cpu).unwrap()).reading(rows);
    let tables = network.tables(None).unwrap();
    let hidden = network
        .hidden(&tables, &input, &mut [segment], &mut Default::default())
        .unwrap();
    let evidence = network.evidence(&hidden).unwrap();
    values(&network.logits(evidence.tensor()).unwrap()).unwrap()
}

#[test]
fn pieces_and_changes_give_what_one_pass_gives() {
    let network = network();
    for (len, piece) in [(2048, 256), (1500, 640), (300, 64)] {
        let mut ids = text(len);
        let mut pieces = LongText::new(&network, len, piece).unwrap();
        pieces.read(&ids, 0..len).unwrap();
        for rows in [0..9, len / 2 - 5..len / 2 + 70, len - 3..len] {
            let got = pieces.predict(&ids, rows.clone()).unwrap();
            assert_eq!(got.retrieved.len(), 2);
            let got = values(&got.logits).unwrap();
            assert_close(&format!("{len}: {rows:?}"), &got, &whole(&network, &ids, &rows));
        }
        for changed in [130..150, len - 20..len] {
            ids[changed.clone()].fill(5);
            pieces.read(&ids, changed).unwrap();
            let rows = len / 2..len / 2 + 10;
            let got = values(&pieces.predict(&ids, rows.clone()).unwrap().logits).unwrap();
            assert_close(&format!("{len}, changed"), &got, &whole(&network, &ids, &rows));
        }
        assert!(pieces.read(&ids[1..], 0..1).is_err());
    }
}
