//! Writing with a sparse plan: what a block sees is what it saw in training.

use crate::common::{attending, request, tokenizer, write_one};
use candle_core::{Device, Tensor};
use drdiff_attention::{AttentionConfig, KvCache, LayerPlans, NoisyClean, PassLayout, Pattern, PlanKind, Segment};
use drdiff_generation::{Engine, Task};
use drdiff_kernels::Rotary;
use drdiff_model::{Input, Network};
use drdiff_routing::ComputeReport;
use drdiff_testkit::{Inputs, assert_close, relative_rms, values};

/// Text positions of a training sequence, several times as long as the pattern's dense part.
const LEN: usize = 640;
const ABSORBED: u32 = 257;

/// The pattern with thresholds a twentieth as far out, so that short texts meet all of it.
fn attention() -> AttentionConfig {
    let json = r#"{
        "plan": "length_adaptive",
        "length_adaptive": {
            "dense": 128, "cell": 64, "band": 1, "globals": 1,
            "rings": [{"from": 128, "rate": 2, "cells": 1}, {"from": 512, "rate": 3, "cells": 1}]
        }
    }"#;
    serde_json::from_str(json).unwrap()
}

/// Text, and the same text with most of its tokens absorbed.
fn text() -> (Vec<u32>, Vec<u32>) {
    let draw = |seed, below| Inputs::new(seed).whole(LEN, below).into_iter().map(|id| id as u32);
    let clean: Vec<u32> = draw(4, 256).collect();
    let open = draw(5, 4).map(|drawn| drawn > 0);
    let noisy = clean
        .iter()
        .zip(open)
        .map(|(id, open)| if open { ABSORBED } else { *id })
        .collect();
    (clean, noisy)
}

/// Evidence at some rows of a pass over one segment.
fn evidence(
    network: &Network,
    index: &[u32],
    positions: Vec<i64>,
    plan: impl Into<LayerPlans>,
    cache: Option<&mut KvCache>,
    rows: std::ops::Range<usize>,
) -> Vec<f64> {
    let config = network.config();
    let rotary = Rotary::new(&[positions], config.head_dim, config.rope_base, &Device::Cpu).unwrap();
    let segment = Segment {
        batch: 1,
        len: index.len(),
        plan: plan.into(),
        rotary: &rotary,
        cache,
    };
    let input = Input::discrete(Tensor::new(index, &Device::Cpu).unwrap());
    let tables = network.tables(None).unwrap();
    let hidden = network
        .forward(&tables, &input, &mut [segment], &mut ComputeReport::default())
        .unwrap();
    let rows: Vec<u32> = rows.map(|row| row as u32).collect();
    let found = network
        .evidence(&hidden, &Tensor::new(rows, &Device::Cpu).unwrap())
        .unwrap();
    values(found.tensor()).unwrap()
}

/// What training sees of every noisy position, `[LEN * embed]`.
fn trained(network: &Network, pattern: &NoisyClean, block: usize) -> Vec<f64> {
    let (clean, noisy) = text();
    let index = [noisy, clean].concat();
    let positions = (0..LEN as i64).chain(0..LEN as i64).collect();
    evidence(
        network,
        &index,
        positions,
        pattern.plan(LEN, block).unwrap(),
        None,
        0..LEN,
    )
}

#[test]
fn writing_block_after_block_reads_what_training_read() {
    let network = attending(attention(), LEN);
    let sparse = NoisyClean { attention: attention() };
    let (clean, noisy) = text();
    let embed = network.config().embed;
    for (block, start) in [(16, 0), (24, 5), (64, 2), (100, 0), (128, 1), (320, 0), (LEN, 0)] {
        let wanted = trained(&network, &sparse, block);
        let other = trained(&network, &NoisyClean::default(), block);
        let last = &wanted[(LEN - 16) * embed..];
        assert!(
            relative_rms("dense", &other[(LEN - 16) * embed..], last) > 1e-3,
            "the plan matters"
        );
        let mut cache = network.length_adaptive_cache(block, 640 + block, LEN).unwrap();
        // The first blocks at once, as a prompt; then each as soon as it is written.
        let mut written = 0;
        for first in (start * block..LEN).step_by(block) {
            let ahead = &noisy[first..(first + block).min(LEN)];
            let index = [&clean[written..first], ahead].concat();
            let layout = PassLayout {
                committed: cache.visible(),
                clean: first - written,
                clean_block: block,
                noisy: ahead.len(),
            };
            let positions = (written..written + index.len()).map(|p| p as i64).collect();
            let plan = cache.plan(layout).unwrap();
            let rows = first - written..index.len();
            let found = evidence(&network, &index, positions, plan, Some(&mut cache), rows);
            let wanted = &wanted[first * embed..(first + ahead.len()) * embed];
            assert_close(&format!("blocks of {block}, at {first}"), &found, wanted);
            cache.commit(first - written, 0).unwrap();
            written = first;
        }
    }
}

#[test]
fn a_sparse_text_goes_on_as_if_its_start_had_been_the_prompt() {
    let network = || attending(attention(), 64);
    let whole = request(0, &"A tale. ".repeat(20), 640);
    let mut rest = whole.clone();
    let ids = write_one(network(), whole).ids;
    let Task::Continue(prompt) = &mut rest.task else {
        unreachable!()
    };
    prompt.extend(&ids[..560]);
    rest.settings.tokens = 80;
    // The prompt comes in several passes, and the cache has long begun to overwrite what nobody reads.
    assert_eq!(write_one(network(), rest).ids, ids[560..]);
}

#[test]
fn a_request_may_ask_for_another_plan() {
    let mut sparse = request(0, &"Once upon a time ".repeat(20), 16);
    let dense = write_one(attending(AttentionConfig::default(), 640), sparse.clone()).ids;
    sparse.settings.attention = Some(PlanKind::LengthAdaptive);
    let mut config = attention();
    config.plan = PlanKind::Dense;
    let by_request = write_one(attending(config, 640), sparse.clone()).ids;
    assert_ne!(dense, by_request);
    sparse.settings.attention = None;
    assert_eq!(write_one(attending(attention(), 640), sparse).ids, by_request);
}

#[test]
fn plans_that_no_cache_serves_are_refused() {
    let refusal = |attention: AttentionConfig, asked: Option<PlanKind>| {
        let mut engine = Engine::new(attending(attention, 640), tokenizer(), 1).unwrap();
        let mut request = request(0, "Once", 16);
        request.settings.attention = asked;
        engine.submit(request).map_err(|error| error.to_string())
    };
    let some_layers = AttentionConfig {
        layers: vec![0],
        ..attention()
    };
    let tree = AttentionConfig {
        plan: PlanKind::Tree,
        ..AttentionConfig::default()
    };
    for attention in [some_layers, tree] {
        let message = refusal(attention.clone(), None).unwrap_err();
        assert!(message.contains("such as `dense`"), "{message}");
        assert_eq!(refusal(attention, Some(PlanKind::Dense)), Ok(()));
    }
}
