//! The work of a shard: requests go in as places become free, and each text is on the disk when it is finished.

use std::collections::HashMap;
use std::time::Instant;

use drdiff_data::ChatTemplate;
use drdiff_generation::{Engine, Event, NetworkKind, Output, Request, Settings, Task};

use super::Result;
use super::folder::Done;
use super::input::Input;
use super::ledger::{Due, Verdict};
use super::record::Finished;
use super::{BatchError, Store};

/// Lines that are read between two passes at most, so that a caller who wants to stop is never kept waiting by a
/// long stretch of finished requests.
const LINES: usize = 4096;

/// What a run has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests whose text was there before.
    pub skipped: u64,
    /// Texts finished.
    pub done: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests that failed before and were not tried again.
    pub failed_before: u64,
    /// Lines that are no usable requests.
    pub refused: u64,
    /// Tokens of the finished texts.
    pub tokens: u64,
    /// Network passes of the finished texts, each counted for itself.
    pub nfe: u64,
    /// Requests at work.
    pub active: usize,
}

/// A request at work.
struct Active {
    due: Box<Due>,
    settings: Settings,
    prompt_tokens: usize,
    since: Instant,
}

/// A shard at work. At most `window` requests are in memory.
///
/// Requests are taken in the order of the file, and are not sorted by length or steps: the engine lays the rows of
/// all requests side by side without padding, each with its own steps, so a short one beside a long one wastes
/// nothing, and a place that becomes free is filled at the next pass. Sorting would only help the very last passes,
/// and would need all requests in memory.
pub struct Job {
    store: Store,
    input: Input,
    engine: Option<Engine>,
    template: Option<ChatTemplate>,
    window: usize,
    active: HashMap<u64, Active>,
    /// A request whose noise key is at work already; it has to wait. Hardly ever there is one.
    waiting: Option<Box<Due>>,
    ended: bool,
    tally: Tally,
}

impl Job {
    /// Begins to work on `input`. An `engine` of the capacity `window` may be left out when a [`Store::survey`] has
    /// found nothing due.
    #[must_use]
    pub fn new(mut store: Store, input: Input, engine: Option<Engine>, window: usize) -> Self {
        store.ledger.begin();
        Self {
            store,
            input,
            engine,
            template: None,
            window: window.max(1),
            active: HashMap::new(),
            waiting: None,
            ended: false,
            tally: Tally::default(),
        }
    }

    /// Answers messages by this template of the model. Without one `chat` fails, and OpenAI's messages are read as one text.
    #[must_use]
    pub fn with_template(mut self, template: Option<ChatTemplate>) -> Self {
        self.template = template;
        self
    }

    /// What was done so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally {
            active: self.active.len(),
            ..self.tally
        }
    }

    /// The input, as far as it is read.
    #[must_use]
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// Fills free places, does one network pass and keeps what it has finished; `false` when all is done. What is
    /// not finished when the caller stops is begun anew by the next run.
    ///
    /// # Errors
    /// If the input cannot be read, the output cannot be written or a pass fails. Everything finished before is kept.
    pub fn step(&mut self) -> Result<bool> {
        self.fill()?;
        if self.active.is_empty() {
            return Ok(!self.ended);
        }
        let Some(engine) = &mut self.engine else {
            return Ok(true);
        };
        for event in engine.step()? {
            match event {
                Event::Finished { request, output } => self.finished(request, &output)?,
                Event::Failed { request, error } => {
                    if let Some(active) = self.active.remove(&request) {
                        self.failed(&active.due, error.to_string())?;
                    }
                }
                Event::Pass { .. } | Event::BlockCommitted { .. } => {}
            }
        }
        Ok(true)
    }

    /// Ends the shard after [`Job::step`] has answered `false`.
    ///
    /// # Errors
    /// If its files cannot be renamed.
    pub fn finish(self) -> Result<Done> {
        self.store.finish()
    }

    fn fill(&mut self) -> Result<()> {
        for _ in 0..LINES {
            if self.active.len() >= self.window {
                return Ok(());
            }
            let due = match self.waiting.take() {
                Some(due) => due,
                None if self.ended => return Ok(()),
                None => match self.take()? {
                    Some(due) => due,
                    None => continue,
                },
            };
            if self.active.contains_key(&due.key.noise) {
                self.waiting = Some(due);
                return Ok(());
            }
            self.submit(due)?;
        }
        Ok(())
    }

    /// The next line, if it is a request to be written.
    fn take(&mut self) -> Result<Option<Box<Due>>> {
        let Some(item) = self.input.next()? else {
            self.ended = true;
            return Ok(None);
        };
        self.input.note_unused(&item, &self.store.manifest().choices());
        match self.store.ledger.judge(item) {
            Verdict::Due(due) => return Ok(Some(due)),
            Verdict::Foreign => {}
            Verdict::Done => self.tally.skipped += 1,
            Verdict::FailedBefore => self.tally.failed_before += 1,
            Verdict::Refused {
                line,
                id,
                fault,
                reason,
            } => {
                self.tally.refused += 1;
                self.store.refuse(line, id, fault, reason)?;
            }
        }
        Ok(None)
    }

    fn submit(&mut self, mut due: Box<Due>) -> Result<()> {
        let engine = self.engine.as_mut().ok_or(BatchError::InputChanged)?;
        let kind = NetworkKind::of(engine.network().spec());
        let template = self.template.as_ref();
        due.form.wish = due.form.wish.suited(template);
        let submitted = due
            .form
            .choices
            .over(&self.store.manifest().choices())
            .resolve(kind)
            .and_then(|settings| Ok((due.form.wish.task(engine.tokenizer(), template)?, settings)))
            .and_then(|(task, settings)| {
                let prompt_tokens = match &task {
                    Task::Continue(prompt) => prompt.len(),
                    Task::Infill(canvas) => canvas.iter().flatten().count(),
                };
                engine.submit(Request {
                    id: due.key.noise,
                    task,
                    settings: settings.clone(),
                })?;
                Ok((settings, prompt_tokens))
            });
        match submitted {
            Ok((settings, prompt_tokens)) => {
                let active = Active {
                    settings,
                    prompt_tokens,
                    since: Instant::now(),
                    due,
                };
                self.active.insert(active.due.key.noise, active);
                Ok(())
            }
            Err(error) if error.is_of_request(&due.form.choices) => self.failed(&due, error.to_string()),
            Err(error) => Err(error.into()),
        }
    }

    fn finished(&mut self, request: u64, output: &Output) -> Result<()> {
        let Some(active) = self.active.remove(&request) else {
            return Ok(());
        };
        let (format, model) = (self.store.manifest().format, self.store.manifest().model.clone());
        let finished = Finished {
            due: &active.due,
            settings: &active.settings,
            output,
            prompt_tokens: active.prompt_tokens,
            seconds: active.since.elapsed().as_secs_f64(),
            model: &model,
        };
        self.store.keep(&active.due, &finished.record(format))?;
        self.tally.done += 1;
        self.tally.tokens += output.ids.len() as u64;
        self.tally.nfe += output.nfe as u64;
        Ok(())
    }

    fn failed(&mut self, due: &Due, error: String) -> Result<()> {
        self.store.fail(due, error)?;
        self.tally.failed += 1;
        Ok(())
    }
}
