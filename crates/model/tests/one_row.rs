//! Passes of one row take a shorter way through plain quantised networks, and compute the same bits.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use drdiff_attention::{Bank, KvCache, PassLayout, Past, Segment};
use drdiff_kernels::Loaded;
use drdiff_model::{Head, Input, Loading, Mask, ModelConfig, Network, build_network};
use drdiff_routing::{ComputeReport, Read};

const VOCAB: usize = 50;

fn config(qk_norm_eps: Option<f64>, qkv_bias: bool) -> ModelConfig {
    ModelConfig {
        vocab: VOCAB,
        width: 64,
        embed: 64,
        layers: 3,
        heads: 4,
        kv_heads: 2,
        head_dim: 80,
        hidden: 96,
        context: 256,
        rope_base: 10_000.0,
        rope_scaling: None,
        norm_eps: 1e-5,
        qk_norm_eps,
        qkv_bias,
        head: Head::Tied,
        mask: Mask::Absent,
        causal_context: true,
        next_token: true,
        noise_conditioning: false,
        embedding_skips: false,
        attention: Default::default(),
        routing: Default::default(),
        form: Default::default(),
    }
}

fn network(config: &ModelConfig, format: GgmlDType) -> Network {
    let mut drawn = 0;
    let mut numbers = |dims: &[usize], scale: f32, middle: f32| {
        drawn += 1;
        let numbers =
            (0..dims.iter().product::<usize>()).map(|i| middle + scale * (i as f32 * 0.37 + drawn as f32).sin());
        Tensor::from_vec(numbers.collect(), dims, &Device::Cpu).unwrap()
    };
    let all = (config.heads + 2 * config.kv_heads) * config.head_dim;
    let mut tensors = BTreeMap::new();
    let mut matrix = |name: String, dims: [usize; 2]| {
        let matrix = QTensor::quantize(&numbers(&dims, 0.2, 0.0), format).unwrap();
        tensors.insert(name, Loaded::Quantized(matrix));
    };
    matrix("embedding".to_owned(), [VOCAB, config.width]);
    for layer in 0..config.layers {
        for (name, dims) in [
            ("attention.qkv", [all, config.width]),
            ("attention.out", [config.width, config.heads * config.head_dim]),
            ("feed_forward.shared.gate_up", [2 * config.hidden, config.width]),
            ("feed_forward.shared.down", [config.width, config.hidden]),
        ] {
            matrix(format!("blocks.{layer}.{name}"), dims);
        }
    }
    let mut row = |name: String, len: usize, middle| {
        tensors.insert(name, Loaded::Dense(numbers(&[len], 0.3, middle)));
    };
    row("final_norm.gain".to_owned(), config.width, 1.0);
    for layer in 0..config.layers {
        row(format!("blocks.{layer}.attention_norm.gain"), config.width, 1.0);
        row(format!("blocks.{layer}.feed_forward_norm.gain"), config.width, 1.0);
        if config.qk_norm_eps.is_some() {
            row(format!("blocks.{layer}.attention.q_gain"), config.head_dim, 1.0);
            row(format!("blocks.{layer}.attention.k_gain"), config.head_dim, 1.0);
        }
        if config.qkv_bias {
            row(format!("blocks.{layer}.attention.qkv_bias"), all, 0.0);
        }
    }
    build_network(config, tensors, &Device::Cpu, Loading::Inference)
        .unwrap()
        .0
}

/// Reads `ids` behind what each of `caches` holds, as rows of one pass, and returns the logits of the last row of each.
fn read(network: &Network, caches: &mut [&mut KvCache], at: usize, ids: &[u32]) -> (Vec<Vec<u32>>, ComputeReport) {
    let config = network.config();
    let positions = (at as i64..(at + ids.len()) as i64).collect();
    let rotary = config.rotary(&[positions], &Device::Cpu).unwrap();
    let count = caches.len();
    let mut segments: Vec<Segment<'_>> = caches
        .iter_mut()
        .map(|cache| Segment {
            batch: 1,
            len: ids.len(),
            plan: cache
                .plan(PassLayout {
                    committed: cache.visible(),
                    clean: ids.len(),
                    clean_block: 1,
                    noisy: 0,
                })
                .unwrap()
                .into(),
            units: None,
            rotary: &rotary,
            past: Some(Past::Cache(cache)),
        })
        .collect();
    let index = Tensor::new(ids.repeat(count), &Device::Cpu).unwrap();
    let mut input = Input::discrete(index);
    let last: Vec<u32> = (1..=count).map(|text| (text * ids.len() - 1) as u32).collect();
    input.read = Read::Rows(Tensor::new(last, &Device::Cpu).unwrap());
    let mut report = ComputeReport::default();
    let tables = network.tables(None).unwrap();
    let hidden = network.hidden(&tables, &input, &mut segments, &mut report).unwrap();
    let evidence = network.evidence(&hidden).unwrap();
    let logits = network.logits(evidence.tensor()).unwrap().to_vec2::<f32>().unwrap();
    for cache in caches {
        cache.commit(ids.len(), 8).unwrap();
    }
    let bits = logits.iter().map(|row| row.iter().map(|x| x.to_bits()).collect());
    (bits.collect(), report)
}

#[test]
fn one_row_alone_is_that_row_beside_others() {
    let formats = [
        GgmlDType::Q8_0,
        GgmlDType::Q4_0,
        GgmlDType::Q4_1,
        GgmlDType::Q5_0,
        GgmlDType::Q5_1,
    ];
    for (turn, format) in formats.into_iter().enumerate() {
        let config = config((turn % 2 == 0).then_some(1e-6), turn % 3 == 0);
        let network = network(&config, format);
        // The window moves, and its slots run out.
        let bank: Arc<Bank> = network.bank((90, 8), 3).unwrap();
        let mut caches: Vec<KvCache> = (0..3).map(|_| KvCache::seated(&bank).unwrap().unwrap()).collect();
        let [alone, one, other] = &mut caches[..] else {
            panic!("three")
        };
        let prompt = [3, 1, 4, 1, 5];
        let (first, _) = read(&network, &mut [alone], 0, &prompt);
        let (both, _) = read(&network, &mut [one, other], 0, &prompt);
        assert_eq!([&first[0], &first[0]], [&both[0], &both[1]]);
        for at in 5..200 {
            let ids = [(at * at % VOCAB) as u32];
            let (single, spent) = read(&network, &mut [alone], at, &ids);
            let (pair, both) = read(&network, &mut [one, other], at, &ids);
            assert_eq!(
                [&single[0], &single[0]],
                [&pair[0], &pair[1]],
                "{format:?}, position {at}"
            );
            assert_eq!(2 * spent.flops(), both.flops());
        }
    }
}
