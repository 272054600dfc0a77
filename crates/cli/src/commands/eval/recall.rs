//! What a model finds in long texts.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use drdiff_data::Tokenizer;
use drdiff_evaluation::recall::{RecallTask, WholeTask, recall, recall_whole};
use drdiff_generation::{Choices, Engine};
use drdiff_model::Network;

use super::{EvalArgs, Measured};
use crate::output::tell;

/// Positions of a long text that are read at a time.
const PIECE: usize = 1 << 16;

/// What the model finds; false if it was interrupted.
pub(super) fn recalls(
    args: &EvalArgs,
    network: Network,
    tokenizer: Tokenizer,
    stop: &AtomicBool,
    measured: &mut Measured,
) -> Result<bool> {
    let lengths: Vec<usize> = args
        .recall
        .iter()
        .flat_map(|lengths| lengths.0.iter().copied())
        .collect();
    let mut proceed = || match stop.load(Ordering::Relaxed) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    match args.recall_whole {
        true => whole(args, (&network, &tokenizer), &lengths, &mut proceed, measured),
        false => written(args, (network, tokenizer), &lengths, &mut proceed, measured),
    }
}

/// Of prompts that are written on.
fn written(
    args: &EvalArgs,
    (network, tokenizer): (Network, Tokenizer),
    lengths: &[usize],
    proceed: &mut dyn FnMut() -> ControlFlow<()>,
    measured: &mut Measured,
) -> Result<bool> {
    let mut engine = Engine::new(network, tokenizer, 1)?;
    // Numbers that a text holds are asked for, so none is held back.
    let choices = Choices::default()
        .with("temperature", 0.0)
        .with("frequency_penalty", 0.0)
        .with("commit", "spread");
    for length in lengths.iter().copied() {
        for place in 0..args.recall_depths {
            let task = RecallTask {
                length,
                depth: place as f64 / (args.recall_depths - 1).max(1) as f64,
                samples: args.recall_samples,
                seed: 0,
            };
            if !args.quiet {
                tell(&format_args!("{length} bytes, depth {:.2}", task.depth));
            }
            match recall(&mut engine, &task, &choices, proceed)? {
                Some(found) => measured.recall.push(found),
                None => return Ok(false),
            }
        }
    }
    Ok(true)
}

/// Of texts that are read whole.
fn whole(
    args: &EvalArgs,
    (network, tokenizer): (&Network, &Tokenizer),
    lengths: &[usize],
    proceed: &mut dyn FnMut() -> ControlFlow<()>,
    measured: &mut Measured,
) -> Result<bool> {
    for length in lengths.iter().copied() {
        let task = WholeTask {
            length,
            depths: args.recall_depths,
            samples: args.recall_samples,
            needles: args.recall_needles,
            asked: args.recall_asked,
            hops: args.recall_hops,
            haystacks: args.recall_haystacks,
            piece: PIECE,
            seed: 0,
        };
        if !args.quiet {
            tell(&format_args!("{length} bytes, both sides"));
        }
        match recall_whole(network, tokenizer, &task, proceed)? {
            Some(found) => measured.recall.extend(found),
            None => return Ok(false),
        }
    }
    Ok(true)
}
