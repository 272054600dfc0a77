//! What is seen while a text is written.
//!
//! Text goes to stdout and progress to stderr. When both are one terminal they would overwrite each other, so there
//! complete lines go to stdout and the line that is still growing is shown above the progress, wrapped at words.

use std::io::{self, IsTerminal};
use std::time::Instant;

use anyhow::Result;
use console::Term;
use drdiff_data::Tokenizer;
use drdiff_solver::{Choice, StepReport};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::GenerateArgs;
use super::wrap::{Cell, Look, cells, lines, styled};
use crate::exit::usage;
use crate::output::Out;

/// How text is shown.
enum Mode {
    /// Not at all: there will be one JSON object.
    Silent,
    /// As it comes.
    Stream,
    /// On the terminal that also shows the progress.
    Terminal {
        /// Committed text that is not a complete line yet.
        line: String,
        /// Whether the block is shown while it becomes clear.
        watch: bool,
        /// What is shown behind the text until the next pass.
        behind: Vec<Cell>,
    },
}

/// The committed text as it grows, and how far it is.
pub(super) struct View {
    out: Out,
    bar: ProgressBar,
    mode: Mode,
    started: Instant,
    status: String,
}

/// Where a pass stands.
pub(super) struct Place {
    pub(super) block: usize,
    pub(super) step: usize,
    pub(super) steps: usize,
    pub(super) nfe: usize,
    pub(super) tokens: usize,
    pub(super) wanted: usize,
}

impl View {
    pub(super) fn new(args: &GenerateArgs) -> Result<Self> {
        let terminal = io::stdout().is_terminal() && io::stderr().is_terminal();
        if args.watch && !terminal {
            return Err(usage(
                "--watch needs a terminal for stdout and stderr; leave it out, or see each pass with --trace",
            ));
        }
        let target = if args.quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(None, target).with_style(
            // A template without a bar cannot be wrong.
            ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        let mode = match args {
            _ if args.json => Mode::Silent,
            _ if terminal && !args.quiet => Mode::Terminal {
                line: String::new(),
                watch: args.watch,
                behind: Vec::new(),
            },
            _ => Mode::Stream,
        };
        Ok(Self {
            out: Out::default(),
            bar,
            mode,
            started: Instant::now(),
            status: "reading the prompt".to_owned(),
        })
    }

    /// Shows committed text.
    pub(super) fn text(&mut self, text: &str) -> Result<()> {
        match &mut self.mode {
            Mode::Silent => {}
            Mode::Stream => self.bar.suspend(|| self.out.text(text))?,
            Mode::Terminal { line, .. } => {
                line.push_str(text);
                let all: Vec<Cell> = cells(line, Look::Committed).collect();
                let rows = lines(&all, columns());
                if let Some((last, complete)) = rows.split_last() {
                    let complete: String = complete.iter().map(|row| styled(row) + "\n").collect();
                    self.bar.suspend(|| self.out.text(&complete))?;
                    *line = styled(last);
                }
            }
        }
        let behind = match &self.mode {
            Mode::Terminal { behind, .. } => behind.clone(),
            Mode::Silent | Mode::Stream => Vec::new(),
        };
        self.show(behind);
        Ok(())
    }

    /// Shows how far a pass came.
    pub(super) fn pass(&mut self, place: &Place, canvas: &[Option<u32>], report: &StepReport, tokenizer: &Tokenizer) {
        let Place {
            block,
            step,
            steps,
            nfe,
            tokens,
            wanted,
        } = place;
        let rate = *tokens as f64 / self.started.elapsed().as_secs_f64().max(1e-3);
        let (block, step) = (block + 1, step + 1);
        self.status =
            format!("block {block}, step {step}/{steps}, NFE {nfe}, {tokens}/{wanted} tokens, {rate:.1} tokens/s");
        let mut shown = Vec::new();
        if let Mode::Terminal {
            watch: true, behind, ..
        } = &mut self.mode
        {
            shown = clearing(canvas, report, tokenizer);
            *behind = drafts(report, tokenizer);
        }
        self.show(shown);
    }

    /// Ends the text and takes the progress away.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.bar.finish_and_clear();
        if let Mode::Terminal { line, .. } = &mut self.mode {
            self.out.text(&std::mem::take(line))?;
        }
        self.out.end_line()
    }

    /// Draws the line that grows, with `block` behind it, above the status.
    fn show(&self, block: Vec<Cell>) {
        let mut message = String::new();
        if let Mode::Terminal { line, .. } = &self.mode {
            let all: Vec<Cell> = cells(line, Look::Committed).chain(block).collect();
            message.extend(lines(&all, columns()).into_iter().map(|row| styled(row) + "\n"));
        }
        self.bar
            .set_message(message + &console::style(&self.status).for_stderr().dim().to_string());
    }
}

/// Columns of the terminal; one is left free, since some terminals wrap a full line.
fn columns() -> usize {
    let (_, columns) = Term::stderr().size();
    usize::from(columns).saturating_sub(1)
}

/// A block between noise and text: what is committed, and dim what the network would take for the rest.
fn clearing(canvas: &[Option<u32>], report: &StepReport, tokenizer: &Tokenizer) -> Vec<Cell> {
    let mut shown: Vec<(Option<u32>, bool)> = canvas.iter().map(|token| (*token, false)).collect();
    for choice in &report.provisional {
        if let Some(slot) = shown.get_mut(choice.position).filter(|(token, _)| token.is_none()) {
            *slot = (Some(choice.token), true);
        }
    }
    // Runs are decoded whole, because a character may spread over several tokens.
    shown
        .chunk_by(|a, b| a.1 == b.1 && a.0.is_some() == b.0.is_some())
        .flat_map(|run| {
            let ids: Vec<u32> = run.iter().filter_map(|(token, _)| *token).collect();
            let text = if ids.is_empty() {
                "·".repeat(run.len())
            } else {
                tokenizer.decode(&ids)
            };
            let look = match ids.is_empty() || run[0].1 {
                true => Look::Open,
                false => Look::Committed,
            };
            cells(&text, look).collect::<Vec<_>>()
        })
        .collect()
}

/// Drafts behind a finished check: struck through those that it rejected, and dim those that wait for the next one.
fn drafts(report: &StepReport, tokenizer: &Tokenizer) -> Vec<Cell> {
    let text = |choices: &[Choice]| tokenizer.decode(&choices.iter().map(|choice| choice.token).collect::<Vec<_>>());
    let waiting = if report.finished {
        text(&report.provisional)
    } else {
        String::new()
    };
    let rejected = text(&report.rejected);
    cells(&rejected, Look::Rejected)
        .chain(cells(&waiting, Look::Open))
        .collect()
}
