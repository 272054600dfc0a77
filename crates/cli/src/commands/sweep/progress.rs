//! How far a sweep is, on stderr: one line that changes on a terminal, a line for each cell elsewhere.

use std::io::{self, IsTerminal};
use std::time::Instant;

use drdiff_jobs::sweep::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{complain, grouped, tell, time};

/// Progress of a sweep.
pub(super) struct View {
    quiet: bool,
    bar: Option<ProgressBar>,
    cells: usize,
    /// Passes of all texts that are still to be written, at most.
    due: usize,
    passes: usize,
    texts: usize,
    missing: usize,
    tokens: usize,
    cell: String,
    started: Instant,
}

impl View {
    pub(super) fn new(quiet: bool, cells: usize, missing: usize, due: usize) -> Self {
        let terminal = !quiet && io::stderr().is_terminal();
        let bar = terminal.then(|| {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(
                // A template without a bar cannot be wrong.
                ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
            )
        });
        Self {
            quiet,
            bar,
            cells,
            due,
            passes: 0,
            texts: 0,
            missing,
            tokens: 0,
            cell: String::new(),
            started: Instant::now(),
        }
    }

    pub(super) fn show(&mut self, progress: &Progress<'_>) {
        match progress {
            Progress::Cell { index, cell, missing } => {
                self.cell = format!("cell {}/{} ({})", index + 1, self.cells, cell.describe());
                if self.bar.is_none() && *missing > 0 {
                    self.say(&self.line());
                }
            }
            Progress::Pass(texts) => self.passes += texts,
            Progress::Text(record) => {
                self.texts += 1;
                self.tokens += record.ids.len();
            }
            Progress::Failed(error) => complain(&format!("a text failed: {error}")),
        }
        if let Some(bar) = &self.bar {
            bar.set_message(self.line());
        }
    }

    /// A judge has read so many of the texts.
    pub(super) fn judging(&self, read: usize, texts: usize) {
        let line = format!("judging {}/{}", grouped(read as u64), grouped(texts as u64));
        match &self.bar {
            Some(bar) => bar.set_message(line),
            None if read == 0 => self.say(&line),
            None => {}
        }
    }

    /// The texts of so many cells have been compared with human text.
    pub(super) fn measuring(&self, done: usize, cells: usize) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("distances {done}/{cells}"));
        }
    }

    /// Takes the changing line away and says how it ended.
    pub(super) fn end(&self, sentence: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.say(sentence);
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            tell(&line);
        }
    }

    fn line(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64();
        let mut line = format!(
            "{}: texts {}/{}",
            self.cell,
            grouped(self.texts as u64),
            grouped(self.missing as u64)
        );
        if self.passes > 0 {
            let left = self.due.saturating_sub(self.passes) as f64 * seconds / self.passes as f64;
            let rate = self.tokens as f64 / seconds.max(1e-3);
            line += &format!(", {rate:.0} tokens/s, about {} left", time(left));
        }
        line
    }
}
