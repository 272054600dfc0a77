//! A text that is written: what was asked for, the block that is denoised, and the text behind it.

use drdiff_data::Tokenizer;
use drdiff_kernels::entropy_shares;
use drdiff_model::NetworkSpec;
use drdiff_routing::RoutingConfig;
use drdiff_solver::{Prediction, StepReport, Table, guide};

use crate::block::Block;
use crate::text::Text;
use crate::{Compute, Error, Event, Request, Result, StopReason, Task};

/// A text in progress. It takes what the network says of its block, and knows nothing of passes and caches.
pub(crate) struct Sequence {
    pub(crate) request: Request,
    pub(crate) block: Block,
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
    /// this kind.
    pub(crate) fn new(
        request: Request,
        (budget, block_size): (usize, usize),
        spec: &NetworkSpec,
        (tokenizer, table): (&Tokenizer, &Table),
        shows_predictions: bool,
    ) -> Result<Self> {
        let settings = &request.settings;
        // Experts of the last layer choose among the rows that are read: in writing all that were in training.
        let routes = spec.routing.routed_layers(spec.layers).next().is_some();
        let predicts_all = shows_predictions || settings.self_condition || routes;
        let whole = vec![None; block_size];
        let canvas = match &request.task {
            Task::Continue(_) => &whole,
            Task::Infill(canvas) => canvas,
        };
        Ok(Self {
            block: Block::new(0, (&request, table), &[], canvas, predicts_all)?,
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
        self.block.run.needs_data() || self.request.settings.self_condition
    }

    /// Share of the routed experts' full compute that its block may spend in the next pass.
    pub(crate) fn share(&self, routing: &RoutingConfig) -> f64 {
        self.request.settings.compute.share(self.block.difficulty, routing)
    }

    /// Moves its block on by what the network said with the prompt and, under guidance, without it.
    pub(crate) fn take(&mut self, mut views: impl Iterator<Item = Prediction>) -> Result<Option<StepReport>> {
        let Some(mut prediction) = views.next() else {
            return Ok(None);
        };
        let (vocab, settings) = (self.table.vocabulary(), &self.request.settings);
        if let Some(without) = views.next() {
            guide(&mut prediction, &without, vocab, settings.style_guidance)?;
        }
        let entropies = match self.reads_entropy {
            true => entropy_shares(&prediction.logits, vocab),
            false => Vec::new(),
        };
        if settings.self_condition {
            self.block.remember(&prediction, &entropies);
        }
        let Prediction { logits, data } = &prediction;
        if logits.iter().any(|logit| logit.is_nan()) || data.iter().any(|x| x.is_nan()) {
            return Err(Error::NotANumber {
                request: self.request.id,
                block: self.block.number,
                step: self.block.run.nfe(),
                seed: settings.seed,
            });
        }
        self.block.advance(prediction, &entropies).map(Some)
    }

    /// The tokens of its finished block.
    pub(crate) fn tokens(&self, tokenizer: &Tokenizer) -> Vec<u32> {
        let end = tokenizer.end_of_text();
        let tokens = self.block.run.state().tokens.iter();
        tokens.map(|token| token.unwrap_or(end)).collect()
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
            block: self.block.number,
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
        let canvas = vec![None; self.block_size.min(self.budget - self.committed)];
        let told = (&self.request, &self.table);
        self.block = Block::new(self.block.number + 1, told, self.text.ids(), &canvas, self.predicts_all)?;
        Ok(None)
    }
}
