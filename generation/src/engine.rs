//! The engine: a queue of requests and one `step` that moves all active ones on.

use std::collections::VecDeque;

use candle_core::DType;
use drdiff_kernels::entropy_shares;
use drdiff_model::{Head, Network, Tokenizer};
use drdiff_routing::ComputeReport;
use drdiff_solver::{BlockRun, Prediction, StepReport, Table};
use rayon::prelude::*;

use crate::banks::Banks;
use crate::cohorts::Cohorts;
use crate::job::Job;
use crate::pass::predict;
use crate::{Error, Event, PassCompute, Prompt, Request, Result, Settings, Task};

/// Writes many texts at a time with one network.
///
/// A text depends on its request alone: noise is keyed by seed, request, step and position, and jobs in a batch
/// share nothing but the linear maps, where other shapes may round differently in the last bits.
pub struct Engine {
    network: Network,
    tokenizer: Tokenizer,
    table: Table,
    waiting: VecDeque<Job>,
    active: Vec<Job>,
    banks: Banks,
    cohorts: Cohorts,
    capacity: usize,
    shows_experts: bool,
    shows_predictions: bool,
}

impl Engine {
    /// An engine that works on up to `capacity` requests at once.
    ///
    /// # Errors
    /// [`Error::Vocabulary`] if the tokenizer is not the network's; or the embedding table cannot be read.
    pub fn new(network: Network, tokenizer: Tokenizer, capacity: usize) -> Result<Self> {
        let (has, needs) = (tokenizer.vocab_size(), network.config().vocab);
        // The tables of other people's models may be padded.
        let fits = match network.config().head {
            Head::Evidence => has == needs,
            Head::Tied | Head::Separate => tokenizer.fits(needs),
        };
        if !fits {
            return Err(Error::Vocabulary { has, needs });
        }
        let table = match network.config().head {
            Head::Evidence => Table::new(rows(&network)?, network.config().embed)?,
            // Of networks that read no evidence a solver knows the length of the vocabulary alone.
            Head::Tied | Head::Separate => Table::new(vec![0.0; needs], 1)?,
        };
        Ok(Self {
            network,
            tokenizer,
            table,
            waiting: VecDeque::new(),
            active: Vec::new(),
            banks: Banks::new(capacity.max(1)),
            cohorts: Cohorts::default(),
            capacity: capacity.max(1),
            shows_experts: false,
            shows_predictions: false,
        })
    }

    /// Whether events of passes say how many experts each position had, which reads from the device in every pass.
    pub fn show_experts(&mut self, shows: bool) {
        self.shows_experts = shows;
    }

    /// Whether events of passes tell the predictions of positions that stay open, which otherwise are not made where nothing
    /// depends on them. Concerns requests that are submitted from now on.
    pub fn show_predictions(&mut self, shows: bool) {
        self.shows_predictions = shows;
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Whether there is nothing left to do.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.active.is_empty()
    }

    /// Takes a request in.
    ///
    /// # Errors
    /// If its settings or lengths are impossible for the model.
    pub fn submit(&mut self, request: Request) -> Result<()> {
        let words = (&self.tokenizer, &self.table);
        let job = Job::new(request, &self.network, words, &mut self.banks, self.shows_predictions)?;
        self.waiting.push_back(job);
        Ok(())
    }

    /// Whether a text could be written with these settings, whatever its prompt.
    ///
    /// # Errors
    /// As [`Engine::submit`].
    pub fn check(&mut self, settings: &Settings) -> Result<()> {
        let request = Request {
            id: 0,
            task: Task::Continue(Prompt::default()),
            settings: settings.clone(),
        };
        let words = (&self.tokenizer, &self.table);
        Job::new(request, &self.network, words, &mut self.banks, self.shows_predictions).map(drop)
    }

    /// One network pass for all active requests. A request that fails is reported and dropped; the others go on.
    ///
    /// # Errors
    /// If the pass itself fails.
    pub fn step(&mut self) -> Result<Vec<Event>> {
        while self.active.len() < self.capacity
            && let Some(job) = self.waiting.pop_front()
        {
            self.active.push(job);
        }
        let mut events = Vec::new();
        if self.active.is_empty() {
            return Ok(events);
        }
        // Texts that bring equally much to the pass lie side by side, where one call of attention serves them.
        self.active.sort_by_key(Job::lengths);
        let mut parts = Vec::with_capacity(self.active.len());
        self.active.retain_mut(|job| match job.part() {
            Ok(part) => {
                parts.push(part);
                true
            }
            Err(error) => {
                let request = job.request.id;
                events.push(Event::Failed { request, error });
                false
            }
        });
        if parts.is_empty() {
            return Ok(events);
        }
        let mut report = match self.shows_experts {
            true => ComputeReport::by_row(),
            false => ComputeReport::default(),
        };
        let mut jobs: Vec<&mut Job> = self.active.iter_mut().collect();
        let predictions = predict(&self.network, &mut jobs, &parts, (&mut self.cohorts, &mut report))?;
        let mut moves = Vec::with_capacity(parts.len());
        for ((job, part), (spans, prediction)) in self.active.iter_mut().zip(&parts).zip(predictions) {
            let cost = job.count(part, &spans, &report, self.network.config());
            let vocab = self.tokenizer.vocab_size();
            let prepared = job.passed(part).and_then(|()| prepare(job, prediction, vocab));
            moves.push((&mut job.run, prepared, cost));
        }
        // Drawing tokens costs more than a small network: texts are drawn side by side.
        let moves: Vec<Result<Option<Moved>>> = moves
            .into_par_iter()
            .map(|(run, prepared, cost)| prepared?.map(|prepared| prepared.advance(run, cost)).transpose())
            .collect();
        let mut kept = Vec::with_capacity(self.active.len());
        for (mut job, moved) in self.active.drain(..).zip(moves) {
            let advanced = moved.and_then(|moved| match moved {
                None => Ok(true),
                Some(moved) => turn(&mut job, moved, &self.tokenizer, &mut events),
            });
            match advanced {
                Ok(true) => kept.push(job),
                Ok(false) => {}
                Err(error) => events.push(Event::Failed {
                    request: job.request.id,
                    error,
                }),
            }
        }
        self.active = kept;
        Ok(events)
    }
}

/// Unit embeddings, row after row.
fn rows(network: &Network) -> Result<Vec<f32>> {
    Ok(network.head_rows()?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// A prediction that a block can move on by.
struct Prepared {
    prediction: Prediction,
    /// Of the open positions, if something reads them.
    entropies: Vec<f32>,
    /// What to say if it holds something that is not a number.
    broken: Error,
}

/// What a pass did to a block.
struct Moved {
    report: StepReport,
    cost: PassCompute,
    /// Positions that were open, and with what entropy they were predicted.
    open: Vec<usize>,
    entropies: Vec<f32>,
}

/// Remembers what later passes read of a prediction, which is over `vocab` tokens; `None` if there is none.
fn prepare(job: &mut Job, prediction: Option<Prediction>, vocab: usize) -> Result<Option<Prepared>> {
    let Some(prediction) = prediction else { return Ok(None) };
    let (block, step) = job.place();
    let broken = Error::NotANumber {
        request: job.request.id,
        block,
        step,
        seed: job.request.settings.seed,
    };
    let entropies = match job.reads_entropy {
        true => entropy_shares(&prediction.logits, vocab),
        false => Vec::new(),
    };
    job.remember(&prediction, &entropies);
    Ok(Some(Prepared {
        prediction,
        entropies,
        broken,
    }))
}

impl Prepared {
    fn advance(self, run: &mut BlockRun, cost: PassCompute) -> Result<Moved> {
        let Prediction { logits, data } = &self.prediction;
        if logits.iter().any(|logit| logit.is_nan()) || data.iter().any(|x| x.is_nan()) {
            return Err(self.broken);
        }
        Ok(Moved {
            open: run.open(),
            report: run.advance(self.prediction)?,
            cost,
            entropies: self.entropies,
        })
    }
}

/// Tells of a pass, and turns to the next block when it has ended one; `false` when the text is complete.
fn turn(job: &mut Job, moved: Moved, tokenizer: &Tokenizer, events: &mut Vec<Event>) -> Result<bool> {
    let Moved {
        report,
        cost,
        open,
        entropies,
    } = moved;
    job.assess(&open, &entropies);
    let finished = report.finished;
    events.push(job.pass_event(report, cost));
    if finished && let Some(output) = job.turn(tokenizer, events)? {
        events.push(Event::Finished {
            request: job.request.id,
            output,
        });
        return Ok(false);
    }
    Ok(true)
}
