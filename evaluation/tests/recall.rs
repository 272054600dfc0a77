//! Asking for what was said: what is counted, with networks that know nothing.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "../../generation/tests/it/common.rs"]
#[allow(dead_code, reason = "shared with the tests of the engine, which use more of it")]
mod common;

use std::ops::ControlFlow;

use drdiff_attention::retrieval::Retrieval;
use drdiff_attention::{AttentionConfig, PlanKind};
use drdiff_evaluation::recall::{RecallTask, Recalled, recall};
use drdiff_generation::{Engine, Settings};
use drdiff_model::Network;

fn retrieving(top_k: usize) -> Network {
    let attention = AttentionConfig {
        plan: PlanKind::Retrieval,
        retrieval: Retrieval {
            top_k,
            local: 64,
            groups: 1,
            landmark: 16,
        },
        ..AttentionConfig::default()
    };
    common::attending(attention, 192)
}

fn found(network: Network, length: usize, depth: f64) -> Recalled {
    let mut engine = Engine::new(network, common::tokenizer(), 1).unwrap();
    let task = RecallTask {
        length,
        depth,
        samples: 6,
        seed: 1,
    };
    let settings = Settings::default();
    recall(&mut engine, &task, &settings, &mut || ControlFlow::Continue(()))
        .unwrap()
        .unwrap()
}

#[test]
fn who_reads_every_chunk_has_retrieved_the_right_one() {
    let all = found(retrieving(100), 700, 0.2);
    assert_eq!((all.samples, all.tokens, all.retrieved), (6, 48, Some(6)));
    let one = found(retrieving(1), 700, 0.2);
    assert!(one.retrieved < Some(6), "one of nine chunks is chosen blindly");
    assert_eq!(all.right + one.right, 0, "a network that learnt nothing");
    // The band's own chunks are not retrieved.
    assert_eq!(found(retrieving(100), 700, 1.0).retrieved, Some(0));
    assert_eq!(found(common::network(), 200, 0.5).retrieved, None);
}

#[test]
fn it_stops_when_it_is_told_to() {
    let mut engine = Engine::new(common::network(), common::tokenizer(), 1).unwrap();
    let task = RecallTask {
        length: 100,
        depth: 0.5,
        samples: 2,
        seed: 1,
    };
    let mut stop = || ControlFlow::Break(());
    assert_eq!(
        recall(&mut engine, &task, &Settings::default(), &mut stop).unwrap(),
        None
    );
}
