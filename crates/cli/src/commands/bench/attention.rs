//! `drdiff bench attention`: one attention call over a plan, forward and backward.

use std::sync::Arc;

use anyhow::Result;
use candle_core::{DType, Device, Shape, Tensor, Var};
use clap::Args;
use drdiff_attention::{Reads, TreeConfig, TreePass};
use drdiff_kernels::{AttentionPass, Tape, TilePlan, tile_attention};
use drdiff_noise::{Noise, Purpose};

use super::args::Common;
use super::causal;
use super::clock::{Clock, Timing};
use super::naive;
use super::pattern::{Options, Pattern};
use super::report::Report;
use super::retrieval::Layer;
use super::row::{Machine, Row, Sizes, Subject, Work};
use crate::args::at_least_one;
use crate::exit;
use crate::lengths::{Lengths, length, lengths};
use crate::output::remark;

/// Positions of a call whose batch is not given.
const POSITIONS: usize = 65_536;
/// Operations of a forward call above which a dense plan is left out, unless the longest is given: some seconds, and far more
/// with a backward pass. On a CPU, and on a GPU.
const LONGEST_DENSE: (f64, f64) = (1e12, 1e15);
/// Longest sequence for the naive peer, whose buffers grow with N squared.
const NAIVE_LONGEST: usize = 2048;
/// Different numbers in the inputs; they repeat after that.
const DRAWS: usize = (1 << 18) + 7;
/// Products of a backward pass by those of a forward pass: scores, dout v^T, dv, dq and dk against scores and output.
const BACKWARD_BY_FORWARD: (u64, u64) = (5, 2);

const EXAMPLES: &str = "\
Examples:
  drdiff bench attention --device cuda --lengths 4k,16k,64k --plan dense,ring
  drdiff bench attention --lengths 1k..64k --plan dense,length_adaptive --batch 1 --runs 3
  drdiff bench attention --lengths 16k --batch 1 --runs 3
  drdiff bench attention --lengths 64k --longest-dense 64k --forward-only --warm-up 0 --runs 1
";

/// Arguments of `drdiff bench attention`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(super) struct AttentionArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Positions N; k and M stand for 1,024 and 1,048,576, and 1k..1M doubles from the one to the other
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = lengths, default_value = "1k,4k,16k")]
    lengths: Vec<Lengths>,
    /// Who sees whom
    #[arg(long, value_enum, value_delimiter = ',', default_value = "dense")]
    plan: Vec<Pattern>,
    /// Heads
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 8)]
    heads: usize,
    /// Width of a head
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 64)]
    head_dim: usize,
    /// Sequences, or auto for 65,536 / N
    #[arg(long, value_name = "N|auto", value_parser = batch, default_value = "auto")]
    batch: Batch,
    /// Positions of a block, for plans with blocks
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 16)]
    block_size: usize,
    /// Positions to each side, for the band
    #[arg(long, value_name = "N", default_value_t = 512)]
    window: usize,
    /// Positions of a lowest node, then children of those above, for the tree
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "64")]
    branching: Vec<usize>,
    /// Siblings to each side that are read exactly, for the tree
    #[arg(long, value_name = "N", default_value_t = 0)]
    near: usize,
    /// Longest text that is read densely; longer ones are left out [default: by operations, 1e12 a call on a CPU and 1e15 on a GPU]
    #[arg(long, value_name = "N", value_parser = length)]
    longest_dense: Option<usize>,
    /// Leave the backward pass out
    #[arg(long)]
    forward_only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Batch {
    Auto,
    Of(usize),
}

fn batch(text: &str) -> Result<Batch, String> {
    match text.parse() {
        Ok(0) => Err("give at least 1".to_owned()),
        Ok(number) => Ok(Batch::Of(number)),
        Err(_) if text == "auto" => Ok(Batch::Auto),
        Err(_) => Err("give a number, or auto".to_owned()),
    }
}

/// One call: what is read, sizes and type.
struct Case<'a> {
    pattern: Pattern,
    reads: Reads,
    n: usize,
    batch: usize,
    dtype: DType,
    args: &'a AttentionArgs,
}

pub(super) fn run(args: &AttentionArgs, report: &mut Report) -> Result<()> {
    let (machine, clock) = args.common.open()?;
    let options = Options {
        block_size: args.block_size,
        window: args.window,
        tree: TreeConfig {
            branching: args.branching.clone(),
            near: args.near,
        },
    };
    let cpu = machine.device.is_cpu();
    let mut naive = Vec::new();
    for &pattern in &args.plan {
        for n in args.lengths.iter().flat_map(|lengths| lengths.0.iter().copied()) {
            let batch = match args.batch {
                Batch::Auto => (POSITIONS / n).max(1),
                Batch::Of(batch) => batch,
            };
            let flops = 4.0 * (batch * args.heads * args.head_dim) as f64 * (n as f64).powi(2);
            if pattern == Pattern::Dense && is_too_long(n, flops, args.longest_dense, cpu) {
                let sentence = format!(
                    "dense attention over {n} positions is left out: {flops:.0e} operations a call; --longest-dense {n} has it measured"
                );
                remark(false, &sentence);
                continue;
            }
            // One at a time: a long plan is large itself.
            let case = Case {
                pattern,
                reads: pattern.reads(n, &options)?,
                n,
                batch,
                dtype: if cpu { DType::F32 } else { DType::BF16 },
                args,
            };
            case.measure(&machine, &clock, report)?;
            if cpu && case.pattern == Pattern::Dense && case.n <= NAIVE_LONGEST {
                naive.push(case);
            }
        }
    }
    // Last, because the peak of a process's memory never falls.
    for case in &naive {
        case.measure_naive(&machine, &clock, report)?;
    }
    Ok(())
}

/// Whether a dense call over `n` positions is left out: beyond the `longest` that was given or, without one, for its operations.
fn is_too_long(n: usize, flops: f64, longest: Option<usize>, cpu: bool) -> bool {
    let most = if cpu { LONGEST_DENSE.0 } else { LONGEST_DENSE.1 };
    longest.map_or(flops > most, |longest| n > longest)
}

impl Case<'_> {
    fn measure(&self, machine: &Machine, clock: &Clock, report: &mut Report) -> Result<()> {
        drdiff_kernels::reset_peak_memory(&machine.device)?;
        let [q, k, v] = self.inputs(&machine.device)?;
        if let (Pattern::Retrieval, Reads::Tiles(band)) = (self.pattern, &self.reads) {
            return self.measure_retrieval(band, [q, k, v], machine, clock, report);
        }
        let scale = (self.args.head_dim as f64).powf(-0.5);
        let timing = clock.time(|| {
            match &self.reads {
                Reads::Tiles(plan) => drop(tile_attention(&q, &k, &v, plan, scale)?),
                Reads::Trees { tree, .. } => drop(TreePass::new([&q, &k, &v], tree, scale)?),
                Reads::Causal(tree) => causal::call([&q, &k, &v], tree, None)?,
            }
            Ok(())
        })?;
        report.add(self.row("forward", None, machine, timing))?;
        if self.args.forward_only {
            return Ok(());
        }
        // Any gradient will do but one of zeros, which hardware multiplies faster.
        let timing = match &self.reads {
            Reads::Tiles(plan) => {
                let pass = AttentionPass::new(&q, &k, &v, plan, scale)?;
                clock.time(|| {
                    pass.backward(&pass.attention().out, None)?;
                    Ok(())
                })?
            }
            Reads::Trees { tree, .. } => {
                let pass = TreePass::new([&q, &k, &v], tree, scale)?;
                clock.time(|| {
                    pass.backward(pass.out())?;
                    Ok(())
                })?
            }
            // The way back is not measured alone: what it needs, a tape holds.
            Reads::Causal(tree) => {
                let timing = clock.time(|| causal::call([&q, &k, &v], tree, Some(&Tape::new())))?;
                let forward = self.batch as u64 * self.reads.flops(self.args.heads, self.args.head_dim);
                let work = Work {
                    tokens: Some((self.batch * self.n) as u64),
                    flops: Some(forward + forward * BACKWARD_BY_FORWARD.0 / BACKWARD_BY_FORWARD.1),
                    bytes: None,
                };
                return report.add(Row::new(self.subject("both", None), machine, timing, work));
            }
        };
        report.add(self.row("backward", None, machine, timing))
    }

    /// The way back is not measured alone: what a layer keeps for it, a tape holds.
    fn measure_retrieval(
        &self,
        band: &Arc<TilePlan>,
        qkv: [Tensor; 3],
        machine: &Machine,
        clock: &Clock,
        report: &mut Report,
    ) -> Result<()> {
        let learned = |x: &Tensor| Var::from_tensor(x).map(Var::into_inner);
        let [q, k, v] = qkv.each_ref().map(learned);
        let layer = Layer::new(band, [q?, k?, v?], |(rows, width)| {
            Ok(learned(&self.draw((rows, width), 3, &machine.device)?)?)
        })?;
        let pairs = layer.pairs();
        let whole = self.batch as u64 * (4 * pairs * (self.args.heads * self.args.head_dim) as u64 + layer.scoring());
        let mut row = |what: &'static str, flops, timing| {
            let mut subject = self.subject(what, None);
            subject.density = Some(pairs as f64 / (self.n as f64).powi(2));
            let work = Work {
                tokens: Some((self.batch * self.n) as u64),
                flops: Some(flops),
                bytes: None,
            };
            report.add(Row::new(subject, machine, timing, work))
        };
        row("forward", whole, clock.time(|| layer.call(None))?)?;
        let timing = clock.time(|| layer.choose().map(drop))?;
        row("scoring", self.batch as u64 * layer.scoring(), timing)?;
        if self.args.forward_only {
            return Ok(());
        }
        let timing = clock.time(|| layer.call(Some(&Tape::new())))?;
        let (back, forward) = BACKWARD_BY_FORWARD;
        row("both", whole + whole * back / forward, timing)
    }

    fn measure_naive(&self, machine: &Machine, clock: &Clock, report: &mut Report) -> Result<()> {
        let mut heads_first = Vec::new();
        for input in self.inputs(&machine.device)? {
            heads_first.push(input.transpose(1, 2)?.contiguous()?);
        }
        let timing = clock.time(|| {
            naive::attention(&heads_first[0], &heads_first[1], &heads_first[2])?;
            Ok(())
        })?;
        report.add(self.row("forward", Some("candle-naive"), machine, timing))
    }

    /// Queries, keys and values, `[batch, n, heads, head_dim]`, normally distributed: a GPU's clock depends on its data.
    fn inputs(&self, device: &Device) -> Result<[Tensor; 3]> {
        let shape = (self.batch, self.n, self.args.heads, self.args.head_dim);
        let draw = |position| self.draw(shape, position, device);
        Ok([draw(0)?, draw(1)?, draw(2)?])
    }

    fn draw(&self, shape: impl Into<Shape>, position: u64, device: &Device) -> Result<Tensor> {
        let shape = shape.into();
        let count = shape.elem_count();
        let mut draws = vec![0.0; DRAWS.min(count)];
        Noise::new(self.args.common.seed, 0).normal(Purpose::Data, 0, position, &mut draws);
        let numbers: Vec<f32> = draws.iter().map(|draw| *draw as f32).cycle().take(count).collect();
        Ok(Tensor::from_vec(numbers, shape, device)?.to_dtype(self.dtype)?)
    }

    fn row(&self, what: &'static str, peer: Option<&'static str>, machine: &Machine, timing: Timing) -> Row {
        Row::new(self.subject(what, peer), machine, timing, self.work(what == "backward"))
    }

    fn subject(&self, what: &'static str, peer: Option<&'static str>) -> Subject {
        let (heads, head_dim) = (self.args.heads, self.args.head_dim);
        Subject {
            bench: "attention",
            what,
            variant: self.pattern.name().to_owned(),
            peer,
            shape: Sizes(vec![
                ("n", self.n),
                ("batch", self.batch),
                ("heads", heads),
                ("head_dim", head_dim),
            ]),
            dtype: self.dtype.as_str(),
            density: Some(self.reads.pairs() as f64 / (self.n as f64).powi(2)),
        }
    }

    /// Products over the allowed pairs. Forward reads q, k, v and writes out and the f32 log-sum-exp; backward reads
    /// those with the gradient of out and writes three gradients.
    fn work(&self, backward: bool) -> Work {
        let rows = (self.batch * self.n * self.args.heads) as u64;
        let tensor = rows * (self.args.head_dim * self.dtype.size_in_bytes()) as u64;
        let forward = self.batch as u64 * self.reads.flops(self.args.heads, self.args.head_dim);
        let (flops, tensors) = match backward {
            true => (forward * BACKWARD_BY_FORWARD.0 / BACKWARD_BY_FORWARD.1, 8),
            false => (forward, 4),
        };
        Work {
            tokens: Some((self.batch * self.n) as u64),
            flops: Some(flops),
            bytes: Some(tensors * tensor + 4 * rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_dense_calls_are_left_out_unless_they_are_asked_for() {
        let (n, flops) = (65_536, 9e12);
        assert!(is_too_long(n, flops, None, true) && !is_too_long(n, flops, None, false));
        assert!(!is_too_long(n, flops, Some(n), true) && is_too_long(n, flops, Some(n - 1), false));
        assert!(!is_too_long(n, 1e15, Some(n), true), "whatever it takes");
    }

    #[test]
    fn batches_are_numbers_or_auto() {
        assert_eq!(batch("auto"), Ok(Batch::Auto));
        assert_eq!(batch("3"), Ok(Batch::Of(3)));
        assert!(batch("0").is_err() && batch("many").is_err());
    }
}
