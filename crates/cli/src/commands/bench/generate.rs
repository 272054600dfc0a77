//! `drdiff bench generate`: loading a model, and writing with it as `drdiff generate` would.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use drdiff_generation::settings::Configured;
use drdiff_generation::{Engine, Event, NetworkKind, Output, Prompt, Request, Settings, Task};

use super::args::Common;
use super::clock::{Clock, Timing};
use super::random;
use super::report::Report;
use super::row::{Machine, Row, Sizes, Subject, Work};
use crate::args::at_least_one;
use crate::exit;
use crate::model::find;
use crate::settings::resolve;

const EXAMPLES: &str = "\
Examples:
  drdiff bench generate --runs 3
  drdiff bench generate --model run --settings 8x8,32x16 --device cuda
  drdiff bench generate --random-165m --threads 1
";

/// Arguments of `drdiff bench generate`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(super) struct GenerateArgs {
    #[command(flatten)]
    pub(super) common: Common,
    #[arg(
        long,
        value_name = "FOLDER|FILE",
        help = "Model to write with [default: that of DRDIFF_MODEL, else the bundled one]"
    )]
    model: Option<PathBuf>,
    /// Block size x steps a block
    #[arg(long, value_name = "BxS,…", value_delimiter = ',', value_parser = setting)]
    #[arg(default_value = "1x1,8x8,16x8,32x16")]
    settings: Vec<Setting>,
    /// Tokens of a text
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 200)]
    tokens: usize,
    /// Text to go on from
    #[arg(long, default_value = "The old house")]
    prompt: String,
    /// Time one pass of a large network with random weights instead, in f32, Q8_0 and Q4_K: 12 layers of 768, a vocabulary of
    /// 50,258, logits at all of 512 positions
    #[arg(long = "random-165m", conflicts_with_all = ["model", "settings", "tokens", "prompt"])]
    random: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Setting {
    block_size: usize,
    steps: usize,
}

/// Reads `16x8`: blocks of 16 in 8 steps.
fn setting(text: &str) -> Result<Setting, String> {
    let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
    text.split_once('x')
        .and_then(|(block_size, steps)| {
            Some(Setting {
                block_size: number(block_size)?,
                steps: number(steps)?,
            })
        })
        .ok_or_else(|| "give a block size and steps such as 16x8".to_owned())
}

pub(super) fn run(args: &GenerateArgs, report: &mut Report) -> Result<()> {
    let (machine, clock) = args.common.open()?;
    if args.random {
        return random::run(&random::LARGE, args.common.seed, &machine, &clock, report);
    }
    let begun = Instant::now();
    let source = find(args.model.as_deref(), false)?;
    let (network, tokenizer) = source.load(&machine.device)?;
    machine.device.synchronize()?;
    let load_ms = begun.elapsed().as_secs_f64() * 1e3;
    let bench = Bench {
        name: source.path.display().to_string(),
        dtype: if source.is_gguf() && machine.device.is_cpu() {
            "gguf"
        } else {
            network.dtype().as_str()
        },
        weights: source.size(),
        machine: &machine,
        clock: &clock,
    };
    report.add(bench.load_row(load_ms))?;
    let prompt = Prompt::new(&args.prompt, &tokenizer)?;
    let mut engine = Engine::new(network, tokenizer, 1)?;
    for setting in &args.settings {
        let ours = resolve::<Configured>(None, &[])?.value.0;
        let chosen = ours
            .with("tokens", args.tokens)
            .with("block_size", setting.block_size)
            .with("steps", setting.steps)
            .with("seed", args.common.seed)
            // Texts of one length compare.
            .with("stop_at_end", false);
        let settings = chosen.resolve(NetworkKind::of(engine.network().spec()))?;
        report.add(bench.write_row(&mut engine, &prompt, &settings)?)?;
    }
    Ok(())
}

struct Bench<'a> {
    name: String,
    dtype: &'static str,
    /// Bytes of the weights file.
    weights: usize,
    machine: &'a Machine,
    clock: &'a Clock,
}

impl Bench<'_> {
    fn subject(&self, what: &'static str, sizes: Vec<(&'static str, usize)>) -> Subject {
        Subject {
            bench: "generate",
            what,
            variant: self.name.clone(),
            peer: None,
            shape: Sizes(sizes),
            dtype: self.dtype,
            density: None,
        }
    }

    /// From the file to a network that can write: one run, since the second finds the file in memory.
    fn load_row(&self, ms: f64) -> Row {
        let work = Work {
            bytes: Some(self.weights as u64),
            ..Work::default()
        };
        Row::new(self.subject("load", Vec::new()), self.machine, Timing::once(ms), work)
    }

    /// A whole text. Of its bytes the weights are counted, once a pass.
    fn write_row(&self, engine: &mut Engine, prompt: &[u32], settings: &Settings) -> Result<Row> {
        let mut output = None;
        let timing = self.clock.time(|| {
            output = Some(write(engine, prompt, settings)?);
            Ok(())
        })?;
        let (tokens, passes) = output.map_or((0, 0), |output| (output.ids.len(), output.nfe));
        let sizes = vec![
            ("tokens", tokens),
            ("block_size", settings.block_size),
            ("steps", settings.sampler.steps),
            ("nfe", passes),
        ];
        let work = Work {
            tokens: Some(tokens as u64),
            flops: None,
            bytes: Some((passes * self.weights) as u64),
        };
        Ok(Row::new(self.subject("text", sizes), self.machine, timing, work))
    }
}

fn write(engine: &mut Engine, prompt: &[u32], settings: &Settings) -> Result<Output> {
    engine.submit(Request {
        id: 0,
        task: Task::Continue(prompt.to_vec().into()),
        settings: settings.clone(),
    })?;
    loop {
        for event in engine.step()? {
            match event {
                Event::Finished { output, .. } => return Ok(output),
                Event::Failed { error, .. } => return Err(error.into()),
                Event::Pass { .. } | Event::BlockCommitted { .. } => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_block_size_and_steps() {
        let expected = Setting {
            block_size: 8,
            steps: 16,
        };
        assert_eq!(setting("8x16"), Ok(expected));
        for wrong in ["8", "8x", "0x4", "4x0", "axb"] {
            assert!(setting(wrong).is_err(), "{wrong}");
        }
    }
}
