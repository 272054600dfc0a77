//! Asking for what was said: what is counted, with networks that know nothing.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "../../generation/tests/it/common.rs"]
#[allow(dead_code, reason = "shared with the tests of the engine, which use more of it")]
mod common;

use std::ops::ControlFlow;

use drdiff_attention::retrieval::Retrieval;
use drdiff_attention::{AttentionConfig, PlanKind};
use drdiff_evaluation::recall::{RecallTask, Recalled, Side, WholeTask, recall, recall_whole};
use drdiff_generation::{Choices, Engine};
use drdiff_model::Network;

fn retrieving(top_k: usize) -> Network {
    let attention = AttentionConfig {
        plan: PlanKind::Retrieval,
        neighbours: 2,
        retrieval: Retrieval {
            top_k,
            local: 64,
            groups: 1,
            landmark: 16,
            ..Retrieval::default()
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
    recall(&mut engine, &task, &Choices::default(), &mut || {
        ControlFlow::Continue(())
    })
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

fn asked(network: &Network, length: usize, (needles, hops): (usize, usize), asked: usize) -> Vec<Recalled> {
    let task = WholeTask {
        length,
        depths: 3,
        samples: 4,
        needles,
        asked,
        hops,
        haystacks: 2,
        piece: 256,
        seed: 1,
    };
    let mut proceed = || ControlFlow::Continue(());
    recall_whole(network, &common::tokenizer(), &task, &mut proceed)
        .unwrap()
        .unwrap()
}

#[test]
fn texts_that_are_read_whole_are_asked_to_both_sides() {
    let all = asked(&retrieving(100), 704, (1, 0), 1);
    let places: Vec<(Side, f64)> = all.iter().map(|row| (row.side, row.depth)).collect();
    let each = |side| [0.0, 0.5, 1.0].map(|depth| (side, depth));
    assert_eq!(places, [each(Side::Left), each(Side::Right)].concat());
    let retrieved: Vec<_> = all.iter().map(|row| (row.retrieved, row.retrievable)).collect();
    // Next to the question the band reads what was said.
    let (far, near) = ((Some(4), 4), (Some(0), 0));
    assert_eq!(retrieved, [far, far, near, near, far, far]);
    assert!(all.iter().all(|row| (row.samples, row.tokens) == (4, 32)));
    let some = asked(&retrieving(1), 704, (5, 0), 2);
    assert!(some.iter().all(|row| (row.samples, row.tokens) == (8, 64)));
    assert!(some[0].retrieved < Some(8), "one of nine chunks is chosen blindly");
    assert_eq!(some, asked(&retrieving(1), 704, (5, 0), 2));
    let hops = asked(&retrieving(100), 704, (3, 2), 2);
    assert!(hops.iter().all(|row| row.samples == 8 && row.tokens == 64));
    let dense = asked(&common::network(), 200, (1, 0), 1);
    assert!(dense.iter().all(|row| row.retrieved.is_none() && row.samples == 4));
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
        recall(&mut engine, &task, &Choices::default(), &mut stop).unwrap(),
        None
    );
}
