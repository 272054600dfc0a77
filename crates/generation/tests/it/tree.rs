//! Writing by a tree: a block reads the nodes that it read in training.

use drdiff_attention::{AttentionConfig, PlanKind};
use drdiff_generation::{Engine, Task};

use crate::common::{attending, network, request, tokenizer, write, write_one};
use crate::passes::{LEN, assert_goes_on, assert_written, cache, trained, trained_apart};

/// A tree of several levels over a short text.
fn attention() -> AttentionConfig {
    serde_json::from_str(r#"{"plan": "tree", "tree": {"branching": [64, 2, 3]}}"#).unwrap()
}

#[test]
fn writing_block_after_block_reads_what_training_read() {
    let network = attending(attention(), LEN);
    for (block, start) in [
        (16, 0),
        (24, 5),
        (64, 2),
        (100, 0),
        (128, 1),
        (128, 4),
        (256, 1),
        (LEN, 0),
    ] {
        let wanted = trained_apart(&network, &attention(), block);
        let mut cache = cache(&network, PlanKind::Tree, block, 640 + block);
        assert_written(&network, &mut cache, (block, start), &wanted);
    }
}

#[test]
fn lowest_nodes_of_two_tiles_and_neighbours_are_written_as_trained() {
    for tree in [r#"{"branching": [128, 2]}"#, r#"{"branching": [64, 4], "near": 2}"#] {
        let attention = AttentionConfig {
            tree: serde_json::from_str(tree).unwrap(),
            ..attention()
        };
        let network = attending(attention.clone(), LEN);
        let wanted = trained(&network, &attention, 24);
        // Passes that are no longer than they must be, so that the ring comes round.
        let mut cache = cache(&network, PlanKind::Tree, 24, 48);
        assert_written(&network, &mut cache, (24, 0), &wanted);
    }
}

#[test]
fn a_text_by_a_tree_goes_on_as_if_its_start_had_been_the_prompt() {
    assert_goes_on(|| attending(attention(), 64));
}

#[test]
fn a_text_of_many_lowest_nodes_is_the_same_alone_again_and_beside_others() {
    let texts = || {
        let beside = ["It was late. ", &"Once upon a time ".repeat(25), ""];
        let requests = beside.into_iter().zip(0..).map(|(prompt, id)| request(id, prompt, 200));
        requests.collect::<Vec<_>>()
    };
    let together = write(attending(attention(), 64), 3, texts());
    for (request, (id, output)) in texts().into_iter().zip(&together) {
        assert_eq!((request.id, output.ids.len()), (*id, 200));
        let alone = write_one(attending(attention(), 64), request.clone());
        assert_eq!(alone.ids, output.ids, "text {id}");
        assert_eq!(write_one(attending(attention(), 64), request).ids, alone.ids);
    }
    let dense = write_one(attending(AttentionConfig::default(), 640), texts().remove(1));
    assert_ne!(dense.ids, together[1].1.ids, "the plan matters");
}

#[test]
fn a_text_that_is_one_block_is_read_to_both_sides_in_every_pass() {
    let canvas = |len: usize| {
        (0..len)
            .map(|at| (at % 3 == 0).then_some(97 + at as u32 % 26))
            .collect()
    };
    let mut infill = request(0, "", 448);
    infill.task = Task::Infill(canvas(448));
    let by = |plan| {
        let mut request = infill.clone();
        request.settings.attention = Some(plan);
        write_one(attending(attention(), LEN), request).ids
    };
    assert_eq!(by(PlanKind::Tree).len(), 448);
    assert_ne!(by(PlanKind::Tree), by(PlanKind::Dense));
}

#[test]
fn a_network_that_was_trained_dense_may_write_by_a_tree() {
    let mut asked = request(0, &"Once upon a time ".repeat(20), 16);
    let dense = write_one(attending(AttentionConfig::default(), 640), asked.clone()).ids;
    asked.settings.attention = Some(PlanKind::Tree);
    let by_request = write_one(attending(AttentionConfig::default(), 640), asked.clone()).ids;
    assert_ne!(dense, by_request);
    asked.settings.attention = None;
    let by_plan = AttentionConfig {
        plan: PlanKind::Tree,
        ..AttentionConfig::default()
    };
    assert_eq!(write_one(attending(by_plan, 640), asked).ids, by_request);
    // Shorter than one lowest node: everything is read one by one by either.
    let short = |plan| {
        let mut short = request(0, "Once", 40);
        short.settings.attention = Some(plan);
        write_one(network(), short).ids
    };
    assert_eq!(short(PlanKind::Tree), short(PlanKind::LengthAdaptive));
}

#[test]
fn lowest_nodes_within_a_tile_cannot_write() {
    let attention = AttentionConfig {
        tree: serde_json::from_str(r#"{"branching": [24]}"#).unwrap(),
        ..attention()
    };
    let mut engine = Engine::new(attending(attention, LEN), tokenizer(), 1).unwrap();
    let message = engine.submit(request(0, "Once", 100)).unwrap_err().to_string();
    assert!(message.contains("multiple of 64"), "{message}");
}
