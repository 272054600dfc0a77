//! Training events as lines on stderr.

use drdiff_model::BlockBound;
use drdiff_training::{Event, LayerLoad, StepRecord};

use crate::output::{grouped, tell};

/// Writes one line for an event, or the table of a validation.
pub(super) fn show(event: &Event) {
    match event {
        Event::Steps(record) => tell(&steps(record)),
        Event::Round { step, student_steps } => tell(&format_args!(
            "step {step}  the student learns to write a block in {student_steps} steps"
        )),
        Event::Validation { step, bounds } => tell(&validation(*step, bounds)),
        Event::Saved { step, path } => tell(&format_args!("step {step}  saved {}", path.display())),
    }
}

fn steps(record: &StepRecord) -> String {
    let StepRecord {
        step,
        tokens,
        loss,
        next_token_loss,
        gradient_norm,
        learning_rate,
        tokens_per_second,
        routing,
    } = record;
    let next_token = next_token_loss.map_or_else(String::new, |loss| format!("  next token {loss:.4}"));
    let (tokens, rate) = (grouped(*tokens), grouped(tokens_per_second.round().max(0.0) as u64));
    format!(
        "step {step}  tokens {tokens}  loss {loss:.4}{next_token}  grad norm {gradient_norm:.3}  lr {learning_rate:.2e}  {rate} tokens/s"
    ) + &routers(routing)
}

/// The least and the greatest load of an expert against an even one, the least entropy, and a line for every alarm.
fn routers(layers: &[LayerLoad]) -> String {
    if layers.is_empty() {
        return String::new();
    }
    let even = |layer: &LayerLoad| layer.load.len() as f64;
    let loads = |fold: fn(f64, f64) -> f64, start: f64| {
        let all = layers
            .iter()
            .flat_map(|layer| layer.load.iter().map(|load| load * even(layer)));
        all.fold(start, fold)
    };
    let (least, most) = (loads(f64::min, f64::INFINITY), loads(f64::max, 0.0));
    let entropy = layers.iter().map(|layer| layer.entropy).fold(f64::INFINITY, f64::min);
    let mut line = format!("  experts' load {least:.2} to {most:.2}  router entropy {entropy:.2}");
    for layer in layers {
        if let Some(alarm) = &layer.alarm {
            line += &format!("\nwarning: routing of layer {} has collapsed: {alarm}", layer.layer);
        }
    }
    line
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
