//! How far a job is, on stderr: one line that changes on a terminal, a line now and then elsewhere, or JSON lines.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, Instant};

use drdiff_jobs::batch::{Done, Tally};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::output::{counted, grouped, tell, time};

/// How a job ended.
pub(super) enum End<'a> {
    Finished { done: &'a Done, out: &'a Path },
    Interrupted,
}

/// Where progress goes.
enum Mode {
    Quiet,
    Terminal(ProgressBar),
    Lines,
    Json,
}

/// Progress of a job.
pub(super) struct View {
    mode: Mode,
    /// Requests that were due at the beginning, where that is known.
    due: Option<u64>,
    started: Instant,
    last: Option<Instant>,
}

impl View {
    pub(super) fn new(quiet: bool, json: bool, due: Option<u64>) -> Self {
        let mode = match () {
            () if quiet => Mode::Quiet,
            () if json => Mode::Json,
            () if io::stderr().is_terminal() => Mode::Terminal(
                ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(
                    // A template without a bar cannot be wrong.
                    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
                ),
            ),
            () => Mode::Lines,
        };
        let started = Instant::now();
        Self {
            // A log does not begin with a line of zeros.
            last: matches!(mode, Mode::Lines).then_some(started),
            mode,
            due,
            started,
        }
    }

    pub(super) fn is_quiet(&self) -> bool {
        matches!(self.mode, Mode::Quiet)
    }

    /// Whether the requests were counted beforehand.
    pub(super) fn knows_total(&self) -> bool {
        self.due.is_some()
    }

    /// Shows where the job is, if it is time to.
    pub(super) fn show(&mut self, tally: &Tally) {
        let pause = match self.mode {
            Mode::Quiet => return,
            Mode::Terminal(_) => Duration::ZERO,
            Mode::Json => Duration::from_secs(1),
            Mode::Lines => Duration::from_secs(10),
        };
        if self.last.is_some_and(|last| last.elapsed() < pause) {
            return;
        }
        self.last = Some(Instant::now());
        match &self.mode {
            Mode::Terminal(bar) => bar.set_message(self.line(tally)),
            Mode::Json => tell(&self.json("progress", tally)),
            Mode::Lines => tell(&self.line(tally)),
            Mode::Quiet => {}
        }
    }

    /// Shows how it ended.
    pub(super) fn end(&self, tally: &Tally, end: &End<'_>) {
        if let Mode::Terminal(bar) = &self.mode {
            bar.finish_and_clear();
        }
        match (&self.mode, end) {
            (Mode::Quiet, _) => {}
            (Mode::Json, End::Finished { done, .. }) => {
                let mut value = self.json("finished", tally);
                value["shard"] = json!(done);
                tell(&value);
            }
            (Mode::Json, End::Interrupted) => tell(&self.json("interrupted", tally)),
            (_, End::Interrupted) => tell(&format_args!(
                "interrupted: {}; the same command goes on from here",
                self.line(tally)
            )),
            (_, End::Finished { done, out }) => tell(&self.summary(tally, done, out)),
        }
    }

    fn rate(&self, tally: &Tally) -> f64 {
        tally.tokens as f64 / self.started.elapsed().as_secs_f64().max(1e-3)
    }

    /// Seconds that are left if the rest goes like what is done.
    fn remaining(&self, tally: &Tally) -> Option<f64> {
        let passed = tally.done + tally.failed;
        let left = self.due?.saturating_sub(passed);
        (passed > 0).then(|| self.started.elapsed().as_secs_f64() / passed as f64 * left as f64)
    }

    fn line(&self, tally: &Tally) -> String {
        let total = self.due.map_or_else(String::new, |due| format!("/{}", grouped(due)));
        let mut line = format!(
            "texts {}{total}, failed {}, {:.1} tokens/s, NFE {}",
            grouped(tally.done),
            grouped(tally.failed + tally.failed_before + tally.refused),
            self.rate(tally),
            grouped(tally.nfe)
        );
        if let Some(seconds) = self.remaining(tally) {
            line += &format!(", {} left", time(seconds));
        }
        line
    }

    fn json(&self, event: &str, tally: &Tally) -> Value {
        json!({
            "event": event,
            "done": tally.done,
            "due": self.due,
            "skipped": tally.skipped,
            "failed": tally.failed,
            "failed_before": tally.failed_before,
            "refused": tally.refused,
            "active": tally.active,
            "tokens": tally.tokens,
            "nfe": tally.nfe,
            "tokens_per_second": self.rate(tally),
            "seconds": self.started.elapsed().as_secs_f64(),
            "eta_seconds": self.remaining(tally),
        })
    }

    fn summary(&self, tally: &Tally, done: &Done, out: &Path) -> String {
        let mut line = format!("{} holds {}", out.display(), counted(done.records, "text"));
        if tally.skipped > 0 {
            line += &format!(", {} of them from earlier runs", grouped(tally.skipped));
        }
        if done.failed + done.refused > 0 {
            let (failed, refused) = (
                counted(done.failed, "failed request"),
                counted(done.refused, "unusable line"),
            );
            line += &format!("; {failed} and {refused}, see the errors file");
        }
        let seconds = time(self.started.elapsed().as_secs_f64());
        let (tokens, rate) = (grouped(tally.tokens), self.rate(tally));
        format!(
            "{line}; {tokens} tokens in {seconds}, {rate:.1} tokens/s, NFE {}",
            grouped(tally.nfe)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(
            [0.04, 59.0, 61.0, 3700.0].map(time),
            ["0.0 s", "59.0 s", "1 min 1 s", "1 h 1 min"]
        );
    }

    #[test]
    fn the_rest_is_told_once_something_is_done() {
        let view = View::new(true, false, Some(10));
        let mut tally = Tally::default();
        assert!(view.remaining(&tally).is_none() && !view.line(&tally).contains("left"));
        tally.done = 10;
        assert_eq!(view.remaining(&tally), Some(0.0));
        assert!(view.line(&tally).starts_with("texts 10/10, failed 0,"));
        let json = view.json("progress", &tally);
        assert_eq!((&json["done"], &json["due"]), (&json!(10), &json!(10)));
    }
}
