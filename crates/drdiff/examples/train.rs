//! Trains a tiny model on a text file of its own and writes with it. Takes a second or two on two cores.

#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use std::ops::ControlFlow;

use drdiff::Settings;
use drdiff::configs::Inputs;
use drdiff::data::{PrepareOptions, TokenizerChoice, prepare};
use drdiff::training::{Event, TrainConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let (text, corpus, run) = (
        folder.path().join("a.txt"),
        folder.path().join("corpus"),
        folder.path().join("run"),
    );
    std::fs::write(&text, "The cat sat on the mat. The dog sat on the log. ".repeat(400))?;
    let options = PrepareOptions {
        tokenizer: TokenizerChoice::Train { vocab_size: 300 },
        ..PrepareOptions::default()
    };
    let manifest = prepare(&[text], &[], &corpus, &options, &mut |_| ControlFlow::Continue(()))?;

    let mut inputs = Inputs::default();
    inputs.config("tiny");
    let vocab = format!("model.vocab={}", manifest.tokenizer.vocab_size);
    for set in [
        "steps=40",
        "batch=2",
        "model.context=64",
        "block_sizes=!only {8: 1}",
        "validation_blocks=[8]",
        &vocab,
    ] {
        inputs.set(set);
    }
    let config = inputs.resolve::<TrainConfig>()?.value;
    drdiff::train(config, &corpus, &run, |event| {
        if let Event::Steps(record) = event {
            println!("step {}: {:.3} nats", record.step, record.loss);
        }
    })?;

    let settings = Settings::default().tokens(24).block_size(8);
    println!("{}", drdiff::load(&run)?.generate("The cat", &settings)?.finish()?.text);
    Ok(())
}
