//! The loop that drives the engine.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use drdiff_generation::{Choices, Engine, Error, Event, Scoring};

use super::active::Active;
use super::queue::Queue;
use super::{Command, ScoreJob, Update};
use crate::error::ApiError;
use crate::served::Served;
use crate::state::{Phase, State};

/// How long an idle engine sleeps before it looks whether it is to end.
const NAP: Duration = Duration::from_millis(50);

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All texts were finished.
    Whole,
    /// So many texts were cut.
    Cut(usize),
}

/// The side of a server that owns the engine. [`Worker::run`] is called by the thread that computes.
pub struct Worker {
    state: Arc<State>,
    commands: Receiver<Command>,
}

impl Worker {
    pub(crate) fn new(state: Arc<State>, commands: Receiver<Command>) -> Self {
        Self { state, commands }
    }

    /// Serves texts until `stop` is set and the texts at work are finished, or the time to drain is over.
    ///
    /// # Errors
    /// If a network pass fails. All texts are told, and the server refuses more.
    pub fn run(self, engine: Engine, served: Served, stop: &AtomicBool) -> Result<Ended, Error> {
        let state = self.state.clone();
        state.load(served);
        let mut work = Work {
            state: self.state,
            engine,
            queue: Queue::default(),
            active: HashMap::new(),
            scores: VecDeque::new(),
            next: 0,
        };
        let ended = work.drive(&self.commands, stop);
        if ended.is_err() {
            state.turn(Phase::Failed);
            work.end(&ApiError::failed("a network pass failed"));
        }
        ended
    }
}

/// A text that is scored.
struct Scored {
    job: ScoreJob,
    scoring: Scoring,
}

struct Work {
    state: Arc<State>,
    engine: Engine,
    queue: Queue,
    active: HashMap<u64, Active>,
    scores: VecDeque<Scored>,
    next: u64,
}

impl Work {
    fn drive(&mut self, commands: &Receiver<Command>, stop: &AtomicBool) -> Result<Ended, Error> {
        let mut draining: Option<Instant> = None;
        loop {
            self.state.beat();
            if draining.is_none() && stop.load(Ordering::Relaxed) {
                self.state.turn(Phase::Draining);
                draining = Some(Instant::now());
            }
            self.take(commands);
            self.expire();
            if let Some(since) = draining {
                if self.is_idle() {
                    return Ok(Ended::Whole);
                }
                if since.elapsed() >= self.state.options.drain {
                    return Ok(Ended::Cut(self.end(&ApiError::cut())));
                }
            }
            self.fill();
            self.measure();
            self.score()?;
            self.pass()?;
            self.measure();
        }
    }

    fn is_idle(&self) -> bool {
        self.active.is_empty() && self.queue.len() == 0 && self.scores.is_empty()
    }

    /// Takes all commands that there are, and waits a little for one if there is nothing else to do.
    fn take(&mut self, commands: &Receiver<Command>) {
        if self.is_idle()
            && let Ok(command) = commands.recv_timeout(NAP)
        {
            self.obey(command);
        }
        while let Ok(command) = commands.try_recv() {
            self.obey(command);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Submit(jobs) => jobs.into_iter().for_each(|job| self.queue.push(job)),
            Command::Cancel(client) => {
                self.queue.cancel(client);
                self.scores.retain(|score| score.job.client != client);
                self.leave(|active| active.job.client == client);
            }
            Command::Score(job) => match self.engine.scoring(&job.ids) {
                Ok(scoring) => self.scores.push_back(Scored { job, scoring }),
                Err(error) => {
                    let _ = job.answer.send(Err(ApiError::of_engine(&error, &Choices::default())));
                }
            },
        }
    }

    /// Gives up the texts for which `leaves` is true; how many there were.
    fn leave(&mut self, mut leaves: impl FnMut(&Active) -> bool) -> usize {
        let gone: Vec<u64> = self
            .active
            .iter()
            .filter(|(_, active)| leaves(active))
            .map(|(id, _)| *id)
            .collect();
        for id in &gone {
            self.engine.cancel(*id);
            self.active.remove(id);
        }
        gone.len()
    }

    fn expire(&mut self) {
        let options = &self.state.options;
        for _ in 0..self.queue.expire(options.queue_timeout) {
            self.state.metrics.rejected("queue_timeout");
        }
        let most = options.timeout;
        while let Some(late) = self.scores.iter().position(|score| score.job.came.elapsed() > most) {
            if let Some(score) = self.scores.remove(late) {
                // Whoever has gone needs no answer.
                let _ = score.job.answer.send(Err(ApiError::ran_too_long()));
            }
        }
        self.leave(|active| {
            let over = active.seated().elapsed() > most;
            if over {
                active.job.tell(Update::Failed(ApiError::ran_too_long()));
            }
            over
        });
    }

    /// Tells everybody that nothing more comes; how many texts were cut.
    fn end(&mut self, error: &ApiError) -> usize {
        let scores = self.scores.len();
        for score in self.scores.drain(..) {
            let _ = score.job.answer.send(Err(error.clone()));
        }
        let active = self.leave(|active| {
            active.job.tell(Update::Failed(error.clone()));
            true
        });
        active + scores + self.queue.end(error)
    }

    /// Gives free slots to those who wait.
    fn fill(&mut self) {
        while self.active.len() < self.state.options.slots {
            let Some(mut job) = self.queue.pop() else { break };
            job.request.id = self.next;
            self.next += 1;
            if let Err(error) = self.engine.submit(job.request.clone()) {
                job.tell(Update::Failed(ApiError::of_engine(&error, &job.choices)));
                continue;
            }
            let id = job.request.id;
            let active = Active::new(job, &self.state.metrics);
            match active.job.tell(Update::Started(active.queue_seconds())) {
                true => drop(self.active.insert(id, active)),
                false => drop(self.engine.cancel(id)),
            }
        }
        self.queue.tell();
    }

    fn measure(&self) {
        let metrics = &self.state.metrics;
        metrics.waiting.set(self.queue.len() as i64);
        metrics.running.set(self.active.len() as i64);
        metrics
            .cache
            .set(self.active.len() as f64 / self.state.options.slots.max(1) as f64);
    }

    /// A pass for the text that is scored first.
    fn score(&mut self) -> Result<(), Error> {
        let Some(mut first) = self.scores.pop_front() else {
            return Ok(());
        };
        match self.engine.score(&mut first.scoring)? {
            // Whoever has gone needs no answer.
            Some(scores) => drop(first.job.answer.send(Ok(scores))),
            None => self.scores.push_front(first),
        }
        Ok(())
    }

    /// A pass for all texts that have a slot.
    fn pass(&mut self) -> Result<(), Error> {
        if self.active.is_empty() {
            return Ok(());
        }
        let (begun, metrics) = (Instant::now(), &self.state.metrics);
        metrics.slots.observe(self.active.len() as f64);
        let events = self.engine.step()?;
        metrics.pass.observe(begun.elapsed().as_secs_f64());
        metrics.passes.inc();
        for event in events {
            self.tell(event);
        }
        Ok(())
    }

    fn tell(&mut self, event: Event) {
        let metrics = &self.state.metrics;
        match event {
            Event::Pass {
                request,
                block,
                step,
                nfe,
                canvas,
                report,
                compute,
                ..
            } => {
                metrics
                    .rows
                    .inc_by((compute.clean + compute.settled + compute.open) as u64);
                let Some(active) = self.active.get_mut(&request) else {
                    return;
                };
                if let Some(update) = active.passed([block, step, nfe], canvas, &report) {
                    active.job.tell(update);
                }
            }
            Event::BlockCommitted {
                request,
                block,
                text,
                tokens,
            } => {
                let Some(active) = self.active.get_mut(&request) else {
                    return;
                };
                let update = active.written(block, text, tokens, metrics);
                active.job.tell(update);
            }
            Event::Finished { request, output } => {
                let Some(active) = self.active.remove(&request) else {
                    return;
                };
                self.state.admission.took(active.seated().elapsed());
                active.finished(output, metrics);
            }
            Event::Failed { request, error } => {
                let Some(active) = self.active.remove(&request) else {
                    return;
                };
                let error = ApiError::of_engine(&error, &active.job.choices);
                active.job.tell(Update::Failed(error));
            }
        }
    }
}
