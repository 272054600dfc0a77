//! Holding back what the text says already.

use std::collections::BTreeSet;

use drdiff_generation::Request;

use crate::common::{network, request, write, write_one};

/// One token a step, so that each sees all before it; a penalty that none survives.
fn strict(id: u64, prompt: &str, window: usize) -> Request {
    let mut request = request(id, prompt, 24);
    request.settings.stop_at_end = false;
    request.settings.sampler.steps = request.settings.block_size;
    request.settings.sampler.frequency.penalty = 100.0;
    request.settings.sampler.frequency.window = window;
    request
}

#[test]
fn what_was_said_is_counted_through_prompt_and_blocks() {
    let prompt = "The cat sat on a mat";
    let output = write_one(network(), strict(0, prompt, 1024));
    let known: BTreeSet<u32> = prompt
        .bytes()
        .map(u32::from)
        .chain(output.ids.iter().copied())
        .collect();
    let distinct = prompt.bytes().collect::<BTreeSet<_>>().len();
    assert_eq!(known.len(), distinct + 24, "no byte comes again");
    // With a window of nothing only the block itself is counted.
    let narrow = write_one(network(), strict(0, prompt, 0));
    assert_ne!(narrow.ids, output.ids);
    for block in narrow.ids.chunks(strict(0, prompt, 0).settings.block_size) {
        assert_eq!(block.iter().collect::<BTreeSet<_>>().len(), block.len());
    }
}

#[test]
fn batch_mates_are_not_counted() {
    let requests = || {
        vec![
            strict(0, "The cat", 1024),
            strict(1, "A dog", 1024),
            request(2, "x", 24),
        ]
    };
    let together = write(network(), 3, requests());
    for (request, (_, output)) in requests().into_iter().zip(&together) {
        assert_eq!(write_one(network(), request).ids, output.ids);
    }
}
