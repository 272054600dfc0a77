//! `drdiff bench train`: whole optimiser steps on random tokens.

use anyhow::Result;
use clap::{Args, ValueEnum};
use drdiff_attention::PlanKind;
use drdiff_model::ModelConfig;
use drdiff_training::{Trial, TrialLayout};

use super::args::Common;
use super::report::Report;
use super::row::{Row, Sizes, Subject, Work};
use crate::args::at_least_one;
use crate::attention::plans;
use crate::exit::{self, usage};
use crate::lengths::length;

const EXAMPLES: &str = "\
Examples:
  drdiff bench train --device cuda --batch 16,64 --runs 20
  drdiff bench train --device cuda --layout noisy-clean --block-size 16
  drdiff bench train --device cuda --attention length_adaptive --context 64k --batch 1
";

/// Arguments of `drdiff bench train`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(super) struct TrainArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// What a sequence looks like to the network
    #[arg(long, value_enum, value_delimiter = ',', default_value = "plain")]
    layout: Vec<Layout>,
    /// Sequences of a step
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = at_least_one(), default_value = "16")]
    batch: Vec<usize>,
    /// Text tokens of a sequence; k stands for 1,024
    #[arg(long, value_name = "N", value_parser = length, default_value = "1024")]
    context: usize,
    /// Positions of a block, for noisy-clean
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 16)]
    block_size: usize,
    /// Which positions read which
    #[arg(long, value_name = "PLAN", value_parser = plans(), default_value = "dense")]
    attention: PlanKind,
    /// Blocks of the network
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 8)]
    layers: usize,
    /// Width of the network and of its embeddings
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 512)]
    width: usize,
    /// Heads
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 8)]
    heads: usize,
    /// Hidden width of the feed-forward halves
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 1408)]
    hidden: usize,
    /// Size of the vocabulary
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 8192)]
    vocab: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// Each sequence once, all positions see each other
    Plain,
    /// Each sequence twice, as blocks to be denoised and as their clean context
    NoisyClean,
}

impl Layout {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::NoisyClean => "noisy-clean",
        }
    }
}

pub(super) fn run(args: &TrainArgs, report: &mut Report) -> Result<()> {
    let (machine, clock) = args.common.open()?;
    let config = config(args)?;
    for &layout in &args.layout {
        for &batch in &args.batch {
            let mut sizes = vec![("n", args.context), ("batch", batch)];
            let trial_layout = match layout {
                Layout::Plain => TrialLayout::Plain,
                Layout::NoisyClean => {
                    sizes.push(("block_size", args.block_size));
                    TrialLayout::NoisyClean {
                        block_size: args.block_size,
                    }
                }
            };
            drdiff_kernels::reset_peak_memory(&machine.device)?;
            let mut trial = Trial::new(&config, batch, trial_layout, &machine.device, args.common.seed)?;
            sizes.push(("params", trial.params()));
            let timing = clock.time(|| {
                trial.step()?;
                Ok(())
            })?;
            let subject = Subject {
                bench: "train",
                what: "step",
                variant: match args.attention {
                    PlanKind::Dense => layout.name().to_owned(),
                    plan => format!("{} {}", layout.name(), plan.name()),
                },
                peer: None,
                shape: Sizes(sizes),
                dtype: if machine.device.is_cpu() { "f32" } else { "bf16" },
                density: None,
            };
            // Bytes are left out: between fused and plain operations there is no one count of what must move.
            let work = Work {
                tokens: Some(trial.tokens() as u64),
                flops: Some(trial.flops()),
                bytes: None,
            };
            report.add(Row::new(subject, &machine, timing, work))?;
        }
    }
    Ok(())
}

fn config(args: &TrainArgs) -> Result<ModelConfig> {
    let (width, heads) = (args.width, args.heads);
    if !width.is_multiple_of(2 * heads) {
        return Err(usage(format!(
            "{heads} heads of an even width do not fill {width}; choose a --width that is a multiple of {}",
            2 * heads
        )));
    }
    if args.layout.contains(&Layout::NoisyClean) && args.block_size > args.context {
        return Err(usage(format!(
            "blocks of {} do not fit {} tokens; choose a smaller --block-size",
            args.block_size, args.context
        )));
    }
    let config: ModelConfig = serde_json::from_value(serde_json::json!({
        "vocab": args.vocab, "width": width, "embed": width, "layers": args.layers, "heads": heads,
        "kv_heads": heads, "head_dim": width / heads, "hidden": args.hidden, "context": args.context,
        "attention": { "plan": args.attention.name() },
    }))?;
    config.validate()?;
    Ok(config)
}
