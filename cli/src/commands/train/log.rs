//! Training events as lines on stderr.

use drdiff_training::{BlockBound, Event, StepRecord};

use crate::output::{grouped, tell};

/// Writes one line for an event, or the table of a validation.
pub(super) fn show(event: &Event) {
    match event {
        Event::Steps(record) => tell(&steps(record)),
        Event::Validation { step, bounds } => tell(&validation(*step, bounds)),
        Event::Saved { step, path } => tell(&format_args!("step {step}  saved {}", path.display())),
    }
}

fn steps(record: &StepRecord) -> String {
    let StepRecord {
        step,
        tokens,
        loss,
        gradient_norm,
        learning_rate,
        tokens_per_second,
    } = record;
    let (tokens, rate) = (grouped(*tokens), grouped(tokens_per_second.round().max(0.0) as u64));
    format!(
        "step {step}  tokens {tokens}  loss {loss:.4}  grad norm {gradient_norm:.3}  lr {learning_rate:.2e}  {rate} tokens/s"
    )
}

fn validation(step: u64, bounds: &[BlockBound]) -> String {
    let mut table = format!("step {step}  held-out text, at most\n  block size  nats/token        bits/byte");
    for BlockBound {
        block_size,
        nats,
        error,
        bits_per_byte,
        ..
    } in bounds
    {
        table += &format!("\n  {block_size:>10}  {nats:>7.4} ± {error:.4}  {bits_per_byte:>9.4}");
    }
    table
}
