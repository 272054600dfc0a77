//! Writing with a network that retrieves: a block finds the chunks that it found in training.

use drdiff_attention::retrieval::Retrieval;
use drdiff_attention::{AttentionConfig, PlanKind, Rest};
use drdiff_generation::{Engine, Event, Output, Task};
use drdiff_testkit::relative_rms;

use crate::common::{attending, network, request, tokenizer, write_one};
use crate::passes::{LEN, assert_goes_on, assert_written, cache, trained};

fn attention(top_k: usize) -> AttentionConfig {
    AttentionConfig {
        plan: PlanKind::Retrieval,
        neighbours: 3,
        retrieval: Retrieval {
            top_k,
            local: 64,
            groups: 1,
            landmark: 16,
            ..Retrieval::default()
        },
        ..AttentionConfig::default()
    }
}

#[test]
fn rows_that_choose_in_parts_retrieve_what_training_retrieved() {
    for together in [1, 16] {
        let mut attention = attention(2);
        attention.retrieval.together = together;
        let network = attending(attention.clone(), LEN);
        for (block, start) in [(24, 5), (64, 2), (100, 0), (LEN, 0)] {
            let wanted = trained(&network, &attention, block);
            let mut cache = cache(&network, PlanKind::Retrieval, block, 640 + block);
            assert_written(&network, &mut cache, (block, start), &wanted);
        }
    }
}

#[test]
fn writing_block_after_block_retrieves_what_training_retrieved() {
    let network = attending(attention(2), LEN);
    let other = attending(attention(1), LEN);
    let embed = network.config().embed;
    for (block, start) in [(16, 0), (24, 5), (64, 2), (100, 0), (128, 1), (320, 0), (LEN, 0)] {
        let wanted = trained(&network, &attention(2), block);
        let fewer = trained(&other, &attention(1), block);
        let last = (LEN - 16) * embed..;
        assert!(
            relative_rms("fewer", &fewer[last.clone()], &wanted[last]) > 1e-4,
            "the second chunk matters, block {block}"
        );
        let mut cache = cache(&network, PlanKind::Retrieval, block, 640 + block);
        assert_written(&network, &mut cache, (block, start), &wanted);
    }
}

#[test]
fn a_text_that_is_one_block_retrieves_from_itself_in_every_pass() {
    let text = |len: usize| (0..len).map(|at| (at % 3 == 0).then_some(97 + at as u32 % 26));
    let canvas: Vec<Option<u32>> = text(448).collect();
    let mut infill = request(0, "", 448);
    let (mut alone, mut parts) = (infill.clone(), infill.clone());
    infill.task = Task::Infill(canvas);
    alone.settings.block_size = 448;
    parts.settings.block_size = 224;
    for (request, whole) in [(infill, true), (alone, true), (parts, false)] {
        let mut engine = Engine::new(attending(attention(2), LEN), tokenizer(), 1).unwrap();
        engine.submit(request).unwrap();
        let mut passes = 0;
        while !engine.is_idle() {
            for event in engine.step().unwrap() {
                let Event::Pass { block, retrieved, .. } = event else {
                    continue;
                };
                // All seven chunks have others to choose outside of their bands.
                assert_eq!((retrieved.len(), retrieved[0].is_empty()), (1, !whole && block == 0));
                // The second of two blocks sees what lies behind its own.
                assert!(whole || retrieved[0].iter().all(|chunk| *chunk < 3));
                passes += 1;
            }
        }
        assert!(passes >= 2, "{passes}");
    }
}

/// What the passes of each block cost, all and scoring landmarks.
fn costs(attention: AttentionConfig) -> (Vec<Vec<(u64, u64)>>, Output) {
    let mut request = request(0, &"A tale. ".repeat(48), 256);
    request.settings.block_size = 64;
    request.settings.sampler.steps = 2;
    let mut engine = Engine::new(attending(attention, LEN), tokenizer(), 1).unwrap();
    engine.submit(request).unwrap();
    let (mut blocks, mut finished) = (vec![Vec::new(); 4], None);
    while !engine.is_idle() {
        for event in engine.step().unwrap() {
            match event {
                Event::Pass { block, compute, .. } => blocks[block].push((compute.flops, compute.scoring_flops)),
                Event::Finished { output, .. } => finished = Some(output),
                _ => {}
            }
        }
    }
    (blocks, finished.unwrap())
}

#[test]
fn a_block_costs_the_same_wherever_it_stands_but_for_scoring_which_is_told() {
    for together in [64, 1] {
        let mut attention = attention(2);
        attention.retrieval.together = together;
        let (blocks, output) = costs(attention);
        // The first block comes with a prompt of 6 chunks. In the first pass of the others the block before enters the cache.
        for (near, far) in blocks[1..].iter().zip(&blocks[2..]) {
            for (rows, (near, far)) in [128, 64].into_iter().zip(near.iter().zip(far)) {
                assert_eq!(far.0 - far.1, near.0 - near.1, "all but scoring");
                // One layer retrieves; every row scores one more landmark of 16 numbers.
                assert_eq!(far.1 - near.1, rows * 2 * 16);
            }
        }
        // Blocks 7 to 9 of the text have 6 to 8 chunks before their bands, and those before them one less.
        let scored = |pass: usize, block: u64| blocks[block as usize - 6][pass].1;
        for block in 7..10 {
            assert_eq!(scored(0, block), 64 * (block - 1 + block - 2) * 2 * 16);
            assert_eq!(scored(1, block), 64 * (block - 1) * 2 * 16);
        }
        // The prompt's first pass wrote nothing and is no event; its chunks 2 and 3 had 1 and 2 to choose from.
        let told: u64 = blocks.iter().flatten().map(|pass| pass.1).sum();
        assert_eq!(output.scoring_flops, told + 64 * (1 + 2) * 2 * 16);
        assert!(output.flops > blocks.iter().flatten().map(|pass| pass.0).sum());
    }
}

#[test]
fn a_retrieving_text_goes_on_as_if_its_start_had_been_the_prompt() {
    assert_goes_on(|| attending(attention(2), 192));
}

#[test]
fn a_model_that_retrieves_beside_another_plan_writes_by_retrieval_in_all_layers() {
    let mut request = request(0, &"A tale. ".repeat(48), 64);
    let wanted = write_one(attending(attention(2), LEN), request.clone()).ids;
    let network = || {
        let some = AttentionConfig {
            layers: vec![1],
            rest: Rest::LengthAdaptive,
            ..attention(2)
        };
        attending(some, LEN)
    };
    let mut engine = Engine::new(network(), tokenizer(), 1).unwrap();
    let message = engine.submit(request.clone()).unwrap_err().to_string();
    assert!(message.contains("`retrieval` if the model retrieves"), "{message}");
    request.settings.attention = Some(PlanKind::Retrieval);
    assert_eq!(write_one(network(), request).ids, wanted);
}

#[test]
fn weights_decide_whether_a_text_can_be_written_by_retrieval() {
    let refusal = |network, plan| {
        let mut request = request(0, "A tale.", 16);
        request.settings.attention = Some(plan);
        let mut engine = Engine::new(network, tokenizer(), 1).unwrap();
        engine.submit(request).unwrap_err().to_string()
    };
    let message = refusal(attending(attention(2), 192), PlanKind::Dense);
    assert!(message.contains("`retrieval` and cannot by `dense`"), "{message}");
    let message = refusal(network(), PlanKind::Retrieval);
    assert!(message.contains("`dense` and cannot by `retrieval`"), "{message}");
}
