//! The bound of a model on held-out text.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use drdiff_data::Tokenizer;
use drdiff_data::{DataError, Window, text_windows};
use drdiff_evaluation::metrics::word_frequencies;
use drdiff_generation::Compute;
use drdiff_model::Bounds;
use drdiff_model::{Mask, Network};

use super::{EvalArgs, Measured};
use crate::exit::usage;
use crate::output::{remark, tell};

/// Windows that go through the network at once.
const BATCH: usize = 4;

/// Block sizes that are measured where none is typed, as far as they divide the windows.
pub(super) const BLOCK_SIZES: [usize; 5] = [1, 4, 16, 64, 1024];

/// The bound of the network on held-out text; false if it was interrupted.
pub(super) fn bounds(
    args: &EvalArgs,
    network: &Network,
    tokenizer: &Tokenizer,
    stop: &AtomicBool,
    measured: &mut Measured,
) -> Result<bool> {
    // Refuses what cannot be measured before any text is read.
    check_typed(args, measured.window)?;
    let of_windows = |window| -> Result<Bounds<'_>> {
        Ok(Bounds::new(network, window, BATCH)?.by_position(args.by_position.unwrap_or(0))?)
    };
    let mut bounds = of_windows(measured.window)?;
    let (window, windows) = windows(args, tokenizer, measured.window)?;
    if window != measured.window {
        check_typed(args, window)?;
        bounds = of_windows(window)?;
    }
    (measured.window, measured.windows) = (window, windows.len());
    if let Some(share) = args.compute {
        Compute::Share(share).check(&network.config().routing)?;
        bounds = bounds.with_budget(share);
    }
    let tokens = windows.iter().flat_map(|window| &window.ids);
    let words = match args.difficulty {
        true => word_frequencies(&tokens.map(|id| tokenizer.decode(&[*id])).collect::<Vec<_>>()),
        false => Vec::new(),
    };
    for size in sizes(args, network, window) {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if !args.quiet {
            tell(&format_args!("block size {size}, {} windows", windows.len()));
        }
        measured.bounds.push(bounds.of(&windows, size)?);
        if args.difficulty {
            measured.difficulty.push(bounds.difficulty(&windows, &words, size)?);
        }
    }
    Ok(true)
}

/// Refuses typed block sizes that do not divide the windows.
fn check_typed(args: &EvalArgs, window: usize) -> Result<()> {
    match args.block_sizes.iter().find(|size| !window.is_multiple_of(**size)) {
        Some(size) => Err(usage(format!(
            "blocks of {size} do not fill windows of {window} tokens; give divisors of {window} to --block-sizes"
        ))),
        None => Ok(()),
    }
}

/// The typed block sizes, or those of the default that fit windows and attention, 1 alone for networks without masks; the others are
/// told.
fn sizes(args: &EvalArgs, network: &Network, window: usize) -> Vec<usize> {
    if !args.block_sizes.is_empty() {
        return args.block_sizes.clone();
    }
    let config = network.config();
    if config.mask == Mask::Absent {
        return vec![1];
    }
    let fits = |size: &usize| window.is_multiple_of(*size) && config.attention.check_block(*size, window).is_ok();
    let (fitting, others): (Vec<usize>, Vec<usize>) = BLOCK_SIZES.into_iter().partition(fits);
    if !others.is_empty() {
        let others: Vec<String> = others.iter().map(ToString::to_string).collect();
        remark(
            args.quiet,
            &format!(
                "blocks of {} do not fit windows of {window} tokens of this model and are left out; --block-sizes names others",
                others.join(", ")
            ),
        );
    }
    // Blocks of one token fit every window; where the attention has no place even for them, measuring says why.
    match fitting.is_empty() {
        true => vec![1],
        false => fitting,
    }
}

/// Windows of the text and their length: that of the model's context, or shorter where nobody typed one and the text does not fill it.
fn windows(args: &EvalArgs, tokenizer: &Tokenizer, wanted: usize) -> Result<(usize, Vec<Window>)> {
    let read = |window| text_windows(&args.text, tokenizer, window, args.windows);
    match read(wanted) {
        Err(DataError::Short { tokens, .. }) if args.window.is_none() && tokens > 0 => {
            // A power of two, which block sizes divide.
            let window = 1 << tokens.ilog2();
            remark(
                args.quiet,
                &format!(
                    "the text has {tokens} tokens and does not fill a window of {wanted}; it is measured in windows of {window}"
                ),
            );
            Ok((window, read(window)?))
        }
        windows => Ok((wanted, windows?)),
    }
}
