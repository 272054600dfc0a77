//! A text that is written: what was asked for, the block that is denoised, and the text behind it.

use drdiff_data::Tokenizer;
use drdiff_kernels::entropy_shares;
use drdiff_model::NetworkSpec;
use drdiff_routing::RoutingConfig;
use drdiff_solver::{CommitSchedule, Prediction, StepReport, Table, guide};

use crate::block::Block;
use crate::drafts::{Decided, Drafts};
use crate::step_plan::{Predicts, StepPlan};
use crate::text::Text;
use crate::writing::Writing;
use crate::{Compute, Error, Event, Request, Result, StopReason, Task};

/// A text in progress. It takes what the network says of its block, and knows nothing of passes and caches.
pub(crate) struct Sequence {
    pub(crate) request: Request,
    pub(crate) writing: Writing,
    pub(crate) text: Text,
    table: Table,
    block_size: usize,
    /// Tokens to write at most, and those that are committed, including any behind the end of the text.
    budget: usize,
    pub(crate) committed: usize,
    /// Whether all open positions are predicted in every step, also those that it does not commit.
    predicts_all: bool,
    /// Whether the entropy of predictions decides anything: the next share, or what routers choose.
    reads_entropy: bool,
}

impl Sequence {
    /// The beginning of the text of `request`, which writes at most `budget` tokens in blocks of `block_size` with a network of
    /// this kind. Of its tokens the first `room` may be drafted.
    pub(crate) fn new(
        request: Request,
        (budget, block_size): (usize, usize),
        spec: &NetworkSpec,
        (tokenizer, table): (&Tokenizer, &Table),
        room: usize,
    ) -> Result<Self> {
        let settings = &request.settings;
        // Experts of the last layer choose among the rows that are read: in writing all that were in training.
        let routes = spec.routing.routed_layers(spec.layers).next().is_some();
        let predicts_all = request.shows_predictions || settings.self_condition || routes;
        let whole = vec![None; block_size];
        let canvas = match &request.task {
            Task::Continue(_) => &whole,
            Task::Infill(canvas) => canvas,
        };
        let writing = match settings.sampler.commit {
            CommitSchedule::Verified => {
                let drafts = Drafts::new(&request, table.vocabulary(), room.min(budget - 1))?;
                Writing::Drafts(Box::new(drafts))
            }
            _ => {
                let block = Block::new(0, (&request, table), &[], canvas, predicts_all)?;
                Writing::Block(Box::new(block))
            }
        };
        Ok(Self {
            writing,
            text: Text::new(&request.task, &settings.stop, tokenizer),
            table: table.clone(),
            block_size,
            budget,
            committed: 0,
            predicts_all,
            reads_entropy: settings.compute == Compute::Auto
                || (settings.self_condition && spec.routing.reads_entropy()),
            request,
        })
    }

    /// Whether the next pass must predict data: for the solver, or for the pass behind it.
    pub(crate) fn reads_data(&self) -> bool {
        let block = self.writing.block();
        block.is_some_and(|block| block.run.needs_data() || self.request.settings.self_condition)
    }

    /// Share of the routed experts' full compute that its block may spend in the next pass.
    pub(crate) fn share(&self, routing: &RoutingConfig) -> f64 {
        let difficulty = self.writing.block().map_or(1.0, |block| block.difficulty);
        self.request.settings.compute.share(difficulty, routing)
    }

    /// Moves on by what the network said to `plan`, with the prompt and, under guidance, without it. `None` if nothing was predicted.
    pub(crate) fn take(&mut self, plan: &StepPlan, views: Vec<Prediction>) -> Result<Option<Decided>> {
        let Some(prediction) = self.guided(views)? else {
            return Ok(None);
        };
        let settings = &self.request.settings;
        let block = match (&mut self.writing, &plan.predicts) {
            (Writing::Block(block), _) => block,
            (Writing::Drafts(drafts), Predicts::Drafts(rows)) => {
                return drafts.take(rows, prediction.logits, self.table.vocabulary()).map(Some);
            }
            (Writing::Drafts(_), _) => return Ok(None),
        };
        let entropies = match self.reads_entropy {
            true => entropy_shares(&prediction.logits, self.table.vocabulary()),
            false => Vec::new(),
        };
        if settings.self_condition {
            block.remember(&prediction, &entropies);
        }
        let report = block.advance(prediction, &entropies)?;
        Ok(Some(Decided {
            report,
            kept: plan.clean.len(),
            outcome: None,
        }))
    }

    /// Drafts by what the network said behind the outcome of a check.
    pub(crate) fn draft(&mut self, views: Vec<Prediction>) -> Result<()> {
        let prediction = self.guided(views)?;
        if let (Writing::Drafts(drafts), Some(prediction)) = (&mut self.writing, prediction) {
            drafts.run.draft(prediction.logits)?;
        }
        Ok(())
    }

    /// What a step did, with the drafts that wait for the next one.
    pub(crate) fn told(&self, mut report: StepReport) -> StepReport {
        if let Writing::Drafts(drafts) = &self.writing {
            report.provisional = drafts.waiting();
        }
        report
    }

    /// What the views of the text come to, if there are any.
    fn guided(&self, views: Vec<Prediction>) -> Result<Option<Prediction>> {
        let mut views = views.into_iter();
        let Some(mut prediction) = views.next() else {
            return Ok(None);
        };
        let settings = &self.request.settings;
        if let Some(without) = views.next() {
            guide(
                &mut prediction,
                &without,
                self.table.vocabulary(),
                settings.style_guidance,
            )?;
        }
        let Prediction { logits, data } = &prediction;
        if logits.iter().any(|logit| logit.is_nan()) || data.iter().any(|x| x.is_nan()) {
            return Err(Error::NotANumber {
                request: self.request.id,
                block: self.writing.number(),
                step: self.writing.step(),
                seed: settings.seed,
            });
        }
        Ok(Some(prediction))
    }

    /// The tokens of its finished block, or those that the last pass decided.
    pub(crate) fn tokens(&self, tokenizer: &Tokenizer) -> Vec<u32> {
        let end = tokenizer.end_of_text();
        match &self.writing {
            Writing::Block(block) => {
                let tokens = block.run.state().tokens.iter();
                tokens.map(|token| token.unwrap_or(end)).collect()
            }
            Writing::Drafts(drafts) => drafts.decided.clone(),
        }
    }

    /// Those of its new `tokens` that the network has not read: all of a block, and of what was checked the last one.
    pub(crate) fn unread(&self, mut tokens: Vec<u32>) -> Vec<u32> {
        match &self.writing {
            Writing::Block(_) => tokens,
            Writing::Drafts(_) => tokens.split_off(tokens.len().saturating_sub(1)),
        }
    }

    /// Takes the `tokens` of its finished block into the text and starts the next one; why it ended when it is complete.
    pub(crate) fn commit(
        &mut self,
        tokens: &[u32],
        tokenizer: &Tokenizer,
        events: &mut Vec<Event>,
    ) -> Result<Option<StopReason>> {
        self.committed += tokens.len();
        let infills = matches!(self.request.task, Task::Infill(_));
        let ends = |token| tokenizer.stop_tokens().contains(token);
        let stops = self.request.settings.stop_at_end && !infills;
        let end = tokens.iter().position(|token| stops && ends(token));
        let complete = end.is_some() || self.committed >= self.budget || infills;
        let (text, stopped) = self
            .text
            .push(&tokens[..end.unwrap_or(tokens.len())], complete, tokenizer);
        events.push(Event::BlockCommitted {
            request: self.request.id,
            block: self.writing.number(),
            text,
            tokens: self.text.ids().len(),
        });
        if complete || stopped {
            return Ok(Some(match end {
                _ if stopped => StopReason::Stop,
                Some(_) => StopReason::End,
                None => StopReason::Length,
            }));
        }
        match &mut self.writing {
            Writing::Block(block) => {
                let canvas = vec![None; self.block_size.min(self.budget - self.committed)];
                let told = (&self.request, &self.table);
                **block = Block::new(block.number + 1, told, self.text.ids(), &canvas, self.predicts_all)?;
            }
            Writing::Drafts(drafts) => drafts.number += 1,
        }
        Ok(None)
    }
}
