//! Who runs: requests wait in a queue until one of the places is free.

use std::collections::VecDeque;

use drdiff_data::Tokenizer;
use drdiff_solver::StepReport;

use crate::cache_slot::CacheSlot;
use crate::drafts::{DraftForm, Drafts};
use crate::meter::Meter;
use crate::sequence::Sequence;
use crate::step_plan::StepPlan;
use crate::{Event, PassCompute, Result};

/// A text that is written, its memory, and what it has cost.
pub(crate) struct Entry {
    pub(crate) sequence: Sequence,
    pub(crate) slot: CacheSlot,
    pub(crate) meter: Meter,
}

/// The queue, and the texts that take part in passes.
pub(crate) struct Scheduler {
    waiting: VecDeque<Entry>,
    running: Vec<Entry>,
    capacity: usize,
}

impl Scheduler {
    /// A scheduler that lets `capacity` texts run at once.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            running: Vec::new(),
            capacity,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.waiting.push_back(entry);
    }

    /// Drops the request of this id; `false` if there is none.
    pub(crate) fn cancel(&mut self, id: u64) -> bool {
        let before = self.waiting.len() + self.running.len();
        self.waiting.retain(|entry| entry.sequence.request.id != id);
        self.running.retain(|entry| entry.sequence.request.id != id);
        self.waiting.len() + self.running.len() < before
    }

    /// Chooses the texts of the next pass and plans it, drafts in the `form` for so many rows of one pass: a plan for each of
    /// [`Scheduler::running`]. Those that cannot be planned have
    /// failed and are dropped.
    pub(crate) fn plan(&mut self, form: impl FnOnce(usize) -> DraftForm, events: &mut Vec<Event>) -> Vec<StepPlan> {
        let free = self.capacity.saturating_sub(self.running.len());
        self.running.extend(self.waiting.drain(..free.min(self.waiting.len())));
        let drafts = self.running.iter().filter_map(|entry| entry.sequence.writing.drafts());
        let form = form(drafts.map(Drafts::rows_of_one_pass).sum());
        // Texts that bring equally much to the pass lie side by side, where one call of attention serves them.
        self.running
            .sort_by_key(|entry| entry.slot.lengths(&entry.sequence.writing, form));
        let mut plans = Vec::with_capacity(self.running.len());
        self.running.retain_mut(|entry| {
            let plan = entry.slot.plan(&entry.sequence.writing, form);
            entry.keeps(plan.map(|plan| plans.push(plan)).map(|()| true), events)
        });
        plans
    }

    /// The texts of the pass that was planned last.
    pub(crate) fn running(&mut self) -> &mut [Entry] {
        &mut self.running
    }

    /// Turns to the next blocks of the texts that a pass has moved, whose steps and costs these are, one for each running text.
    pub(crate) fn turn(
        &mut self,
        steps: Vec<(Result<Option<StepReport>>, PassCompute)>,
        tokenizer: &Tokenizer,
        events: &mut Vec<Event>,
    ) {
        let mut steps = steps.into_iter();
        self.running.retain_mut(|entry| {
            let Some((step, cost)) = steps.next() else { return true };
            let goes_on = step.and_then(|step| match step {
                None => Ok(true),
                Some(report) => entry.turn(report, cost, tokenizer, events),
            });
            entry.keeps(goes_on, events)
        });
    }
}

impl Entry {
    /// Whether the text goes on; a failure is told.
    fn keeps(&self, goes_on: Result<bool>, events: &mut Vec<Event>) -> bool {
        let request = self.sequence.request.id;
        goes_on.unwrap_or_else(|error| {
            events.push(Event::Failed { request, error });
            false
        })
    }

    /// Tells of a step, and turns to the next block when it has ended one; `false` when the text is complete.
    fn turn(
        &mut self,
        report: StepReport,
        compute: PassCompute,
        tokenizer: &Tokenizer,
        events: &mut Vec<Event>,
    ) -> Result<bool> {
        let (request, finished) = (self.sequence.request.id, report.finished);
        let writing = &self.sequence.writing;
        events.push(Event::Pass {
            request,
            block: writing.number(),
            step: writing.step().saturating_sub(1),
            nfe: self.meter.nfe,
            canvas: writing.canvas(),
            report,
            compute,
            retrieved: self.slot.retrieved.clone(),
        });
        if !finished {
            return Ok(true);
        }
        let tokens = self.sequence.tokens(tokenizer);
        let stop = self.sequence.commit(&tokens, tokenizer, events)?;
        if let Some(stop) = stop {
            let output = self.meter.output(&mut self.sequence, stop);
            events.push(Event::Finished { request, output });
        }
        self.slot.push(self.sequence.unread(tokens));
        Ok(stop.is_none())
    }
}
