//! Writing with a sparse plan: what a block sees is what it saw in training.

use drdiff_attention::{AttentionConfig, PlanKind, Rest};
use drdiff_generation::Engine;

use crate::common::{attending, request, tokenizer, write_one};
use crate::passes::{LEN, assert_goes_on, assert_written, cache, trained_apart};

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

#[test]
fn writing_block_after_block_reads_what_training_read() {
    let network = attending(attention(), LEN);
    for (block, start) in [(16, 0), (24, 5), (64, 2), (100, 0), (128, 1), (320, 0), (LEN, 0)] {
        let wanted = trained_apart(&network, &attention(), block);
        let mut cache = cache(&network, PlanKind::LengthAdaptive, block, 640 + block);
        assert_written(&network, &mut cache, (block, start), &wanted);
    }
}

#[test]
fn a_sparse_text_goes_on_as_if_its_start_had_been_the_prompt() {
    // The prompt comes in several passes, and the cache has long begun to overwrite what nobody reads.
    assert_goes_on(|| attending(attention(), 64));
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
fn a_plan_that_is_asked_for_is_that_of_all_layers() {
    let mut request = request(0, &"Once upon a time ".repeat(20), 16);
    for asked in [PlanKind::Dense, PlanKind::LengthAdaptive, PlanKind::Tree] {
        request.settings.attention = Some(asked);
        let all = AttentionConfig {
            plan: asked,
            ..attention()
        };
        let wanted = write_one(attending(all, 640), request.clone()).ids;
        for (plan, rest) in [
            (PlanKind::LengthAdaptive, Rest::Dense),
            (PlanKind::Tree, Rest::Dense),
            (PlanKind::Tree, Rest::LengthAdaptive),
            (PlanKind::Dense, Rest::LengthAdaptive),
        ] {
            let some = AttentionConfig {
                plan,
                layers: vec![0],
                rest,
                ..attention()
            };
            let written = write_one(attending(some, 640), request.clone()).ids;
            assert_eq!(written, wanted, "{asked:?} for {plan:?} in layer 0, {rest:?} beside");
        }
    }
}

#[test]
fn plans_that_no_cache_serves_are_refused() {
    let refusal = |attention: AttentionConfig, asked: Option<PlanKind>| {
        let mut engine = Engine::new(attending(attention, 640), tokenizer(), 1).unwrap();
        let mut request = request(0, "Once", 16);
        request.settings.attention = asked;
        engine.submit(request).map_err(|error| error.to_string())
    };
    let some_layers = |plan| AttentionConfig {
        layers: vec![0],
        plan,
        ..attention()
    };
    for attention in [some_layers(PlanKind::LengthAdaptive), some_layers(PlanKind::Tree)] {
        let message = refusal(attention.clone(), None).unwrap_err();
        assert!(message.contains("such as `dense`"), "{message}");
        assert_eq!(refusal(attention, Some(PlanKind::Dense)), Ok(()));
    }
}
