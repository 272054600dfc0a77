//! The loop: steps, log, validation, checkpoints, and an orderly end whatever happens.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use candle_core::Tensor;
use drdiff_files::{Whole, whole};
use drdiff_model::BlockBound;
use serde::Serialize;

use crate::accumulate::add;
use crate::state::saved_step;
use crate::{Error, LayerLoad, MODEL_FILE, Result, RoutingLoad, StepOutput, Trainer};

/// A loss this far above its running mean is a divergence.
const RUNAWAY: f64 = 3.0;

/// The log in the output folder, and how its lines begin.
pub(crate) const LOG_FILE: &str = "train.jsonl";
pub(crate) const LOG_MARK: &[u8] = b"{\"event\":";

/// Where a run writes and when it ends early.
pub struct Run<'a> {
    /// Output folder.
    pub dir: &'a Path,
    /// Revision of the program, for the headers.
    pub commit: &'a str,
    /// Set from outside to end: the step or the measurement that is under way is given up, and what was learned is saved.
    pub stop: &'a Arc<AtomicBool>,
    /// Ends in good order after this time.
    pub limit: Option<Duration>,
}

/// One line of the log.
#[derive(Debug, Clone, Serialize)]
pub struct StepRecord {
    /// Steps taken.
    pub step: u64,
    /// Text tokens seen.
    pub tokens: u64,
    /// Mean weighted loss since the last line, in nats; that of masked tokens where a teacher or next tokens count as well.
    pub loss: f64,
    /// Mean cross-entropy of next tokens since the last line, in nats, if they are learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token_loss: Option<f64>,
    /// Norm of the last gradient before clipping.
    pub gradient_norm: f64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Text tokens per second since the last line.
    pub tokens_per_second: f64,
    /// How rows spread over the experts since the last line, in every layer that has some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routing: Vec<LayerLoad>,
}

/// What happens during a run, in the order of its log.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Some steps were taken.
    Steps(StepRecord),
    /// A round of distillation begins.
    Round {
        /// Steps taken.
        step: u64,
        /// Steps that the student of this round writes a block in.
        student_steps: usize,
    },
    /// The bound on held-out text.
    Validation {
        /// Steps taken.
        step: u64,
        /// By block size.
        bounds: Vec<BlockBound>,
    },
    /// A checkpoint was written.
    Saved {
        /// Steps taken.
        step: u64,
        /// The weights file.
        path: PathBuf,
    },
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps were taken.
    Finished,
    /// It was asked to stop, or its time was over; it can be resumed.
    Stopped,
}

/// Takes steps until the configured number, a stop or the time limit; `observe` sees every event after it is logged.
///
/// Without text to measure on nothing is measured ([`Trainer::unmeasured`] says why before the run). A run that has all its
/// steps but not its last measurement, because it was stopped there, makes up for it.
///
/// The device is read only when a log line is due, so that steps queue up without waiting for one another.
///
/// # Errors
/// If the loss diverges (the last checkpoint is then named and left alone), or files cannot be read or written.
pub fn run(trainer: &mut Trainer<'_>, run: &Run<'_>, observe: &mut dyn FnMut(&Event)) -> Result<Outcome> {
    let mut log = Log::open(run.dir.join(LOG_FILE))?;
    let mut report = |event: Event| -> Result<()> {
        log.write(&event)?;
        observe(&event);
        Ok(())
    };
    let started = Instant::now();
    let mut watch = Watch::default();
    let total = trainer.config.steps;
    let begins = trainer.step < total || !was_measured(&run.dir.join(LOG_FILE), total);
    // Text that cannot be read is told before the first step.
    let measures = begins && trainer.unmeasured()?.is_none();
    // The last step that is not saved yet; whoever ends the program waits until it is.
    let mut unsaved: Option<(StepOutput, Whole)> = None;
    let due = |every: u64, step: u64| every > 0 && step.is_multiple_of(every);
    let mut outcome = Outcome::Finished;
    while trainer.step < total {
        if let Some(student_steps) = trainer.begins_round() {
            let step = trainer.step;
            report(Event::Round { step, student_steps })?;
        }
        watch.start();
        let Some(output) = trainer.step_until(run.stop)? else {
            outcome = Outcome::Stopped;
            break;
        };
        let step = trainer.step;
        watch.add(&output)?;
        let late = run.limit.is_some_and(|limit| started.elapsed() >= limit);
        if step < total && (late || run.stop.load(Ordering::Relaxed)) {
            outcome = Outcome::Stopped;
        }
        let last = step == total || outcome == Outcome::Stopped;
        let saves = last || due(trainer.config.checkpoint_every, step);
        if saves || due(trainer.config.log_every, step) {
            report(Event::Steps(watch.read(trainer, &output, run.dir)?))?;
        }
        unsaved = Some((output, whole()));
        // First, so that nothing is lost where measuring fails.
        if saves {
            report(save(trainer, run)?)?;
            unsaved = None;
            watch.restart();
        }
        if measures && due(trainer.config.validate_every, step) && step < total {
            match trainer.validate_until(run.stop)? {
                Some(bounds) => {
                    report(Event::Validation { step, bounds })?;
                    watch.restart();
                }
                None => outcome = Outcome::Stopped,
            }
        }
        if outcome == Outcome::Stopped {
            break;
        }
    }
    if let Some((output, _whole)) = unsaved {
        if watch.steps > 0 {
            report(Event::Steps(watch.read(trainer, &output, run.dir)?))?;
        }
        report(save(trainer, run)?)?;
    }
    if trainer.step >= total && measures {
        match trainer.validate_until(run.stop)? {
            Some(bounds) => report(Event::Validation { step: total, bounds })?,
            None => outcome = Outcome::Stopped,
        }
    }
    Ok(outcome)
}

/// Writes a checkpoint; what is told of it.
fn save(trainer: &Trainer<'_>, run: &Run<'_>) -> Result<Event> {
    trainer.save(run.dir, run.commit)?;
    Ok(Event::Saved {
        step: trainer.step,
        path: run.dir.join(MODEL_FILE),
    })
}

/// Whether a log holds the measurement behind the last of `steps` steps.
fn was_measured(log: &Path, steps: u64) -> bool {
    let is_it = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        event["event"] == "validation" && event["step"] == steps
    };
    let log = std::fs::read_to_string(log).unwrap_or_default();
    log.lines().rev().any(is_it)
}

/// Sums losses on the device between log lines.
#[derive(Default)]
struct Watch {
    sum: Option<Tensor>,
    next_token: Option<Tensor>,
    steps: u64,
    since: Option<Instant>,
    mean: Option<f64>,
    load: RoutingLoad,
    /// The loads of the last line.
    before: Vec<LayerLoad>,
}

impl Watch {
    /// Begins to count time, unless it is counted already.
    fn start(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    fn add(&mut self, output: &StepOutput) -> Result<()> {
        add(&mut self.sum, output.loss.clone(), 1.0)?;
        if let Some(next_token) = &output.next_token {
            add(&mut self.next_token, next_token.clone(), 1.0)?;
        }
        self.load.add(output.load.clone())?;
        self.steps += 1;
        Ok(())
    }

    fn read(&mut self, trainer: &Trainer<'_>, output: &StepOutput, dir: &Path) -> Result<StepRecord> {
        let step = trainer.step;
        let sum = match &self.sum {
            Some(sum) => f64::from(sum.to_scalar::<f32>()?),
            None => f64::NAN,
        };
        let loss = sum / self.steps as f64;
        let next_token = self.next_token.as_ref().map(Tensor::to_scalar::<f32>).transpose()?;
        let gradient_norm = f64::from(output.norm.to_scalar::<f32>()?);
        let mean = self.mean.unwrap_or(loss);
        let reason = match loss {
            _ if !loss.is_finite() || !gradient_norm.is_finite() => {
                Some(format!("loss {loss}, gradient norm {gradient_norm}"))
            }
            _ if loss > RUNAWAY * mean.max(1.0) => Some(format!("loss {loss:.3} after a mean of {mean:.3}")),
            _ => None,
        };
        if let Some(reason) = reason {
            return Err(Error::Diverged {
                step,
                reason,
                checkpoint: saved_step(dir),
            });
        }
        self.mean = Some(0.9 * mean + 0.1 * loss);
        let config = &trainer.config;
        let tokens = self.steps * (config.accumulate * config.batch * config.model.context) as u64;
        let seconds = self.since.map_or(f64::NAN, |since| since.elapsed().as_secs_f64());
        let record = StepRecord {
            step,
            tokens: trainer.tokens,
            loss,
            next_token_loss: next_token.map(|sum| f64::from(sum) / self.steps as f64),
            gradient_norm,
            learning_rate: config.rate(step.saturating_sub(1)),
            tokens_per_second: tokens as f64 / seconds,
            routing: self.load.read(&self.before)?,
        };
        self.before.clone_from(&record.routing);
        self.restart();
        self.since = Some(Instant::now());
        Ok(record)
    }

    /// Forgets what is not yet reported, so that validation and saving do not count as training time.
    fn restart(&mut self) {
        self.sum = None;
        self.next_token = None;
        self.steps = 0;
        self.load = RoutingLoad::default();
        self.since = None;
    }
}

struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    fn open(path: PathBuf) -> Result<Self> {
        let (file, _) = drdiff_files::grow(&path)?;
        Ok(Self { file, path })
    }

    fn write(&mut self, event: &Event) -> Result<()> {
        let line = serde_json::to_string(event).map_err(|e| Error::Config(e.to_string()))?;
        writeln!(self.file, "{line}").map_err(|source| Error::Log {
            path: self.path.clone(),
            source,
        })
    }
}
