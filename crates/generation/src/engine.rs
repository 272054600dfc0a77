//! The engine: a queue of requests and one `step` that moves all active ones on.

use candle_core::DType;
use drdiff_data::Tokenizer;
use drdiff_model::{CachePool, DenoisingNetwork};
use drdiff_routing::ComputeReport;
use drdiff_solver::{StepReport, Table};
use rayon::prelude::*;

use crate::cache_slot::CacheSlot;
use crate::capabilities::check;
use crate::drafts::DraftForm;
use crate::meter::Meter;
use crate::runner::{Outcome, Runner};
use crate::scheduler::{Entry, Scheduler};
use crate::score::{Scored, Scoring};
use crate::sequence::Sequence;
use crate::step_plan::StepPlan;
use crate::{Error, Event, Prompt, Request, Result, Settings, Task};

/// Writes many texts at a time with one network.
///
/// A text depends on its request alone: noise is keyed by seed, request, step and position, and texts in a batch
/// share nothing but the linear maps, where other shapes may round differently in the last bits.
pub struct Engine {
    scheduler: Scheduler,
    runner: Runner,
    tokenizer: Tokenizer,
    table: Table,
    shows_experts: bool,
    draft_form: Option<DraftForm>,
}

impl Engine {
    /// An engine that works on up to `capacity` requests at once.
    ///
    /// # Errors
    /// [`Error::Vocabulary`] if the tokenizer is not the network's; or the embedding table cannot be read.
    pub fn new(network: impl DenoisingNetwork + 'static, tokenizer: Tokenizer, capacity: usize) -> Result<Self> {
        let (has, needs) = (tokenizer.vocab_size(), network.spec().vocab);
        // The tables of other people's models may be padded.
        let fits = match network.spec().capabilities.soft {
            true => has == needs,
            false => tokenizer.fits(needs),
        };
        if !fits {
            return Err(Error::Vocabulary { has, needs });
        }
        let table = match network.unit_rows()? {
            Some(rows) => {
                let rows = rows.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
                Table::new(rows, network.spec().embed)?
            }
            // Of networks that read no evidence a solver knows the length of the vocabulary alone.
            None => Table::new(vec![0.0; needs], 1)?,
        };
        Ok(Self {
            scheduler: Scheduler::new(capacity.max(1)),
            runner: Runner {
                network: Box::new(network),
                pool: CachePool::new(capacity.max(1)),
            },
            tokenizer,
            table,
            shows_experts: false,
            draft_form: None,
        })
    }

    /// Whether events of passes say how many experts each position had, which reads from the device in every pass.
    pub fn show_experts(&mut self, shows: bool) {
        self.shows_experts = shows;
    }

    /// How drafts and their checks are divided into passes from now on, in place of what is cheaper on the device. The text is the same.
    pub fn draft_in(&mut self, form: DraftForm) {
        self.draft_form = Some(form);
    }

    /// The network.
    pub fn network(&self) -> &dyn DenoisingNetwork {
        self.runner.network.as_ref()
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Whether there is nothing left to do.
    pub fn is_idle(&self) -> bool {
        self.scheduler.is_idle()
    }

    /// Takes a request in.
    ///
    /// # Errors
    /// If its settings or lengths are impossible for the model.
    pub fn submit(&mut self, request: Request) -> Result<()> {
        let entry = self.admit(request)?;
        self.scheduler.push(entry);
        Ok(())
    }

    /// The beginning of the text of a request.
    fn admit(&mut self, request: Request) -> Result<Entry> {
        let Runner { network, pool } = &mut self.runner;
        let sizes = check(&request, network.spec())?;
        let words = (&self.tokenizer, &self.table);
        let slot = CacheSlot::new(&request, sizes, network.as_ref(), &self.tokenizer, pool)?;
        let room = slot.room();
        let sequence = Sequence::new(request, sizes, network.spec(), words, room)?;
        Ok(Entry {
            slot,
            meter: Meter::default(),
            sequence,
        })
    }

    /// Whether a text could be written with these settings, whatever its prompt.
    ///
    /// # Errors
    /// As [`Engine::submit`].
    pub fn check(&mut self, settings: &Settings) -> Result<()> {
        let request = Request::new(0, Task::Continue(Prompt::default()), settings.clone());
        self.admit(request).map(drop)
    }

    /// Drops the request of this id, whether it waits or is at work; its memory is free from the next pass on. `false` if there is
    /// none. Other texts stay what they are.
    pub fn cancel(&mut self, id: u64) -> bool {
        self.scheduler.cancel(id)
    }

    /// Begins to read a text of at least one token that is to be scored. [`Engine::score`] goes on.
    ///
    /// # Errors
    /// If a token is unknown, or the memory cannot be had.
    pub fn scoring(&mut self, ids: &[u32]) -> Result<Scoring> {
        Scoring::new(ids, &mut self.runner, &self.tokenizer)
    }

    /// One network pass for a text that is scored; the scores when all is read.
    ///
    /// # Errors
    /// If the pass fails.
    pub fn score(&mut self, scoring: &mut Scoring) -> Result<Option<Vec<Scored>>> {
        scoring.step(&mut self.runner)
    }

    /// One network pass for all active requests. A request that fails is reported and dropped; the others go on.
    ///
    /// # Errors
    /// If the pass itself fails.
    pub fn step(&mut self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        let on_cpu = self.runner.network.device().is_cpu();
        let chosen = self.draft_form;
        let form = |rows| chosen.unwrap_or_else(|| DraftForm::cheaper(on_cpu, rows));
        let plans = self.scheduler.plan(form, &mut events);
        if plans.is_empty() {
            return Ok(events);
        }
        let mut report = match self.shows_experts {
            true => ComputeReport::by_row(),
            false => ComputeReport::default(),
        };
        let entries = self.scheduler.running();
        let outcomes = self.runner.run(entries, &plans, &mut report)?;
        let network = self.runner.network.as_ref();
        let mut costs = Vec::with_capacity(plans.len());
        for ((entry, plan), outcome) in entries.iter_mut().zip(&plans).zip(&outcomes) {
            costs.push(
                entry
                    .meter
                    .count((&entry.sequence, plan), &outcome.rows, &report, network),
            );
        }
        let steps = take(entries, &plans, outcomes).into_iter().zip(costs).collect();
        self.scheduler.turn(steps, &self.tokenizer, &mut events);
        Ok(events)
    }
}

/// What the texts make of a pass. Drawing tokens costs more than a small network: they do so side by side.
fn take(entries: &mut [Entry], plans: &[StepPlan], outcomes: Vec<Outcome>) -> Vec<Result<Option<StepReport>>> {
    let sequences: Vec<&mut Sequence> = entries.iter_mut().map(|entry| &mut entry.sequence).collect();
    let pairs = sequences.into_par_iter().zip(plans).zip(outcomes);
    let taken: Vec<_> = pairs
        .map(|((sequence, plan), Outcome { views, drafts, .. })| (sequence.take(plan, views), drafts))
        .collect();
    // Drafts are fetched when it is known which of them count.
    let mut fetched = Vec::with_capacity(plans.len());
    for ((Entry { sequence, slot, .. }, plan), (taken, drafts)) in entries.iter_mut().zip(plans).zip(taken) {
        let views = taken.and_then(|taken| {
            slot.passed(plan, taken.as_ref().map_or(plan.clean.len(), |taken| taken.kept))?;
            let outcome = taken.as_ref().and_then(|taken| taken.outcome.clone());
            let drafts = outcome.map(|rows| drafts.fetch(rows)).transpose()?;
            Ok((taken, drafts))
        });
        fetched.push((sequence, views));
    }
    let told = fetched.into_par_iter().map(|(sequence, views)| {
        let (taken, drafts) = views?;
        if let Some(views) = drafts {
            sequence.draft(views)?;
        }
        Ok(taken.map(|taken| sequence.told(taken.report)))
    });
    told.collect()
}
