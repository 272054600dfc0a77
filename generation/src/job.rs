//! A request in progress: the block that is denoised, the text behind it, and the cache.

use drdiff_attention::{KvCache, PassLayout, PlanKind};
use drdiff_diffusion::Level;
use drdiff_kernels::Noise;
use drdiff_model::{DecodeStream, ModelConfig, Network, Rows, Tokenizer};
use drdiff_routing::{ComputeReport, RoutingConfig};
use drdiff_solver::{BlockRun, Prediction, StepReport, Table, guide};

use crate::banks::Banks;
use crate::capabilities::check;
use crate::compute::{Span, difficulty};
use crate::part::{Part, Plan, Predicts};
use crate::stop::StopStrings;
use crate::{Compute, Error, Event, Output, PassCompute, Request, Result, RoutedCompute, StopReason, Task};

/// Clean positions that a pass takes in at most, so that a long prompt does not need memory for all its activations.
const PREFILL: usize = 256;

/// Clean positions that a pass takes in at most: whole blocks, wherever the prompt is cut.
fn chunk(block_size: usize) -> usize {
    let chunk = PREFILL.max(block_size);
    chunk - chunk % block_size
}

/// Network passes that only take in a prompt of so many tokens, before the first one that denoises as well.
/// `block_size` is at least 1.
#[must_use]
pub fn prefill_passes(prompt: usize, block_size: usize) -> usize {
    prompt.div_ceil(chunk(block_size)).saturating_sub(1)
}

/// A block of `canvas` behind the prompt and what has been `written`, of which all open positions are predicted in every step or
/// those that it needs.
fn block_run(
    request: &Request,
    table: &Table,
    written: &[u32],
    canvas: &[Option<u32>],
    predicts_all: bool,
) -> Result<BlockRun> {
    let noise = Noise::new(request.settings.seed, request.id);
    let sampler = request.settings.sampler.clone();
    let prompt = match &request.task {
        Task::Continue(prompt) => prompt.ids.as_slice(),
        Task::Infill(_) => &[],
    };
    let before = prompt.len() + written.len();
    let text = prompt.iter().chain(written);
    let recent = text
        .skip(before.saturating_sub(sampler.frequency.window))
        .copied()
        .collect();
    let run = BlockRun::new(sampler, table.clone(), noise, before as u64, canvas)?.behind(recent);
    Ok(if predicts_all { run } else { run.sparing() })
}

/// The last prediction of a position.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// The data prediction, `[embed]`.
    pub(crate) x_hat: Vec<f64>,
    /// Its entropy as a share of the largest possible; 0 if no router reads it.
    pub(crate) entropy: f32,
}

pub(crate) struct Job {
    pub(crate) request: Request,
    pub(crate) cache: KvCache,
    /// For guidance: the same text with its first `prompt` tokens absorbed.
    pub(crate) unprompted: Option<KvCache>,
    prompt: usize,
    /// The block that is denoised.
    pub(crate) run: BlockRun,
    /// The prompt, or the block before this one. The cache holds all but the last `left` of it: a long prompt is taken
    /// in pass by pass, and is not moved for that.
    clean: Vec<u32>,
    left: usize,
    /// Index of the first token that is left, or of the block if there is none, in the whole text.
    pub(crate) position: u64,
    /// What the last step predicted, by position of the block, for self-conditioning.
    pub(crate) predictions: Vec<Option<Known>>,
    plan: Option<(PassLayout, Plan)>,
    table: Table,
    stream: DecodeStream,
    /// The space before the text stands in the prompt, and no text is written yet.
    spaced: bool,
    /// Bytes of that space that were written and are not in the text.
    dropped: usize,
    stop: StopStrings,
    block: usize,
    block_size: usize,
    /// Whether clean positions see no later ones, and whether their rows predict the block, which then has one position.
    causal: bool,
    next_token: bool,
    budget: usize,
    ids: Vec<u32>,
    text: String,
    nfe: usize,
    committed: usize,
    canvas: usize,
    flops: u64,
    scoring_flops: u64,
    routed: RoutedCompute,
    /// Whether all open positions are predicted in every step, also those that it does not commit.
    predicts_all: bool,
    /// Whether the entropy of predictions decides anything: the next share, or what routers choose.
    pub(crate) reads_entropy: bool,
    /// How hard the last prediction found the open positions, in `[0, 1]`.
    difficulty: f64,
    /// What the block of the last pass retrieved, layer by layer.
    retrieved: Vec<Vec<usize>>,
}

impl Job {
    pub(crate) fn new(
        request: Request,
        network: &Network,
        (tokenizer, table): (&Tokenizer, &Table),
        banks: &mut Banks,
        shows_predictions: bool,
    ) -> Result<Self> {
        let config = network.config();
        let context = config.context;
        let (budget, block_size) = request.check(context, config.vocab)?;
        request.settings.compute.check(config)?;
        check(&request, config)?;
        let next_token = config.next_token && block_size == 1 && matches!(request.task, Task::Continue(_));
        let (mut clean, canvas) = match &request.task {
            Task::Continue(prompt) => (prompt.ids.clone(), vec![None; block_size]),
            Task::Infill(canvas) => (Vec::new(), canvas.clone()),
        };
        let prompt = clean.len();
        if next_token {
            // There is always a row before the first token.
            let first = match tokenizer.adds_start() {
                // Templates of conversations place it themselves.
                true => tokenizer.start().filter(|start| clean.first() != Some(start)),
                false => clean.is_empty().then(|| tokenizer.end_of_text()),
            };
            clean.splice(0..0, first);
        }
        let pass = PREFILL.max(block_size) + block_size;
        let (asked, has) = (request.settings.attention, config.attention.plan);
        let retrieves = |plan| plan == PlanKind::Retrieval;
        if let Some(asked) = asked.filter(|asked| retrieves(*asked) != retrieves(has)) {
            return Err(Error::Plan { asked, has });
        }
        let text = clean.len() + canvas.len().max(budget);
        // Who names a plan wants it in all layers, wherever the model has its own.
        let plan = asked.map_or_else(|| config.attention.plan_of_all(), Ok)?;
        let mut cache = || match plan {
            // A block, the one before it and what both see lie within the distances known from training.
            PlanKind::Dense => banks.cache(network, (context.saturating_sub(2 * block_size).max(1), pass)),
            PlanKind::LengthAdaptive => Ok(network.length_adaptive_cache(block_size, pass, text)?),
            PlanKind::Retrieval => Ok(network.retrieval_cache(block_size, pass, text)?),
            PlanKind::Tree => Ok(network.tree_cache(block_size, pass, text)?),
        };
        let guided = request.settings.style_guidance != 1.0 && !clean.is_empty();
        let settings = &request.settings;
        // Experts of the last layer choose among the rows that are read: in writing all that were in training.
        let routes = config.routing.routed_layers(config.layers).next().is_some();
        let predicts_all = shows_predictions || settings.self_condition || routes;
        let run = block_run(&request, table, &[], &canvas, predicts_all)?;
        Ok(Self {
            cache: cache()?,
            unprompted: guided.then(cache).transpose()?,
            prompt,
            predictions: vec![None; canvas.len()],
            run,
            left: clean.len(),
            clean,
            position: 0,
            plan: None,
            table: table.clone(),
            stream: tokenizer.decode_stream(),
            spaced: matches!(&request.task, Task::Continue(prompt) if prompt.space),
            dropped: 0,
            stop: StopStrings::new(&request.settings.stop, &request.task),
            block: 0,
            block_size,
            causal: config.causal_context,
            next_token,
            budget,
            ids: Vec::new(),
            text: String::new(),
            nfe: 0,
            committed: 0,
            canvas: 0,
            flops: 0,
            scoring_flops: 0,
            routed: RoutedCompute::default(),
            predicts_all,
            reads_entropy: request.settings.compute == Compute::Auto
                || (request.settings.self_condition && config.routing.reads_entropy()),
            difficulty: 1.0,
            retrieved: Vec::new(),
            request,
        })
    }

    /// How often the network sees the text in a pass: twice under guidance.
    fn views(&self) -> usize {
        1 + usize::from(self.unprompted.is_some())
    }

    /// The caches of these views.
    pub(crate) fn caches(&mut self) -> impl Iterator<Item = &mut KvCache> {
        std::iter::once(&mut self.cache).chain(&mut self.unprompted)
    }

    /// The guided prediction of what the network said with the prompt and, under guidance, without it.
    pub(crate) fn guided(&self, mut views: impl Iterator<Item = Prediction>) -> Result<Option<Prediction>> {
        let Some(mut prediction) = views.next() else {
            return Ok(None);
        };
        if let Some(without) = views.next() {
            guide(
                &mut prediction,
                &without,
                self.vocab(),
                self.request.settings.style_guidance,
            )?;
        }
        Ok(Some(prediction))
    }

    fn vocab(&self) -> usize {
        self.table.vocabulary()
    }

    /// Positions of the block.
    pub(crate) fn block_len(&self) -> usize {
        self.run.state().tokens.len()
    }

    /// Clean tokens and positions of the block in the next pass.
    pub(crate) fn lengths(&self) -> (usize, usize) {
        let clean = self.left.min(chunk(self.block_size));
        match self.predicts(clean) {
            Predicts::Block => (clean, self.block_len()),
            Predicts::Nothing | Predicts::NextToken => (clean, 0),
        }
    }

    /// What a pass predicts that takes in so many clean tokens.
    fn predicts(&self, clean: usize) -> Predicts {
        match (clean == self.left, self.next_token) {
            (false, _) => Predicts::Nothing,
            (true, false) => Predicts::Block,
            (true, true) => Predicts::NextToken,
        }
    }

    /// The part of this job in the next pass.
    pub(crate) fn part(&mut self) -> Result<Part> {
        let (clean, noisy) = self.lengths();
        let (clean_len, from) = (clean, self.clean.len() - self.left);
        let clean = self.clean[from..from + clean].to_vec();
        let layout = PassLayout {
            committed: self.cache.visible(),
            clean: clean.len(),
            clean_block: if self.causal { 1 } else { self.block_size },
            noisy,
        };
        let plan = match &self.plan {
            Some((known, plan)) if *known == layout => plan.clone(),
            _ => Plan {
                reads: self.cache.plan(layout)?,
                blocks: layout.blocks().into(),
                units: self.cache.units(layout)?,
            },
        };
        self.plan = Some((layout, plan.clone()));
        let absorbed = self.vocab() as u32;
        let hidden = self.prompt.saturating_sub(self.position as usize).min(clean.len());
        let unprompted = self.unprompted.as_ref().map(|_| {
            let prompt = std::iter::repeat_n(absorbed, hidden);
            prompt.chain(clean[hidden..].iter().copied()).collect()
        });
        Ok(Part {
            clean,
            unprompted,
            predicts: self.predicts(clean_len),
            plan,
        })
    }

    /// The pass is over: its clean tokens are in the cache.
    pub(crate) fn passed(&mut self, part: &Part) -> Result<()> {
        self.nfe += self.views();
        if part.predicts != Predicts::Nothing {
            self.canvas += self.block_len();
        }
        if let Some(units) = &part.plan.units {
            let block = part.clean.len()..units.rows();
            self.retrieved = self.cache.choices()?.of(units, &block);
        }
        self.left -= part.clean.len();
        self.position += part.clean.len() as u64;
        let next = PREFILL.max(self.block_size) + self.block_size;
        self.cache.commit(part.clean.len(), next)?;
        if let Some(cache) = &mut self.unprompted {
            cache.commit(part.clean.len(), next)?;
        }
        Ok(())
    }

    /// Counts the operations of the pass that has just run, in all views of the text, before its prediction is used.
    pub(crate) fn count(
        &mut self,
        part: &Part,
        spans: &[Span],
        report: &ComputeReport,
        config: &ModelConfig,
    ) -> PassCompute {
        let mut cost = PassCompute::default();
        for span in spans {
            let mut view = span.cost(report, config);
            let rows = Rows {
                routed: span.routed,
                taken: view.taken.iter().sum(),
                ..self.rows(part)
            };
            let units = part.plan.units.as_deref();
            view.flops = rows.flops(config, &part.plan.reads, units);
            view.scoring_flops = config.scoring_flops(units);
            cost.add(view);
        }
        self.flops += cost.flops;
        self.scoring_flops += cost.scoring_flops;
        self.routed.add(&cost);
        cost
    }

    /// Share of the routed experts' full compute that the block may spend in the next pass.
    pub(crate) fn share(&self, routing: &RoutingConfig) -> f64 {
        self.request.settings.compute.share(self.difficulty, routing)
    }

    /// Remembers what was predicted for the open positions of the block, if the next step reads it: `entropies` of them, or
    /// none.
    pub(crate) fn remember(&mut self, prediction: &Prediction, entropies: &[f32]) {
        if !self.request.settings.self_condition {
            return;
        }
        let dim = self.run.state().dim;
        let data = prediction.data.chunks_exact(dim).enumerate();
        for (position, (at, x_hat)) in self.run.open().into_iter().zip(data) {
            self.predictions[position] = Some(Known {
                x_hat: x_hat.to_vec(),
                entropy: entropies.get(at).copied().unwrap_or_default(),
            });
        }
    }

    /// Takes in with what entropy the positions `open` of the block were predicted, of which those count that are open still.
    pub(crate) fn assess(&mut self, open: &[usize], entropies: &[f32]) {
        let left = self.run.open();
        let still = open
            .iter()
            .zip(entropies)
            .filter(|(position, _)| left.contains(position));
        let (count, sum) = still.fold((0, 0.0), |(count, sum), (_, entropy)| {
            (count + 1, sum + difficulty(*entropy))
        });
        if count > 0 {
            self.difficulty = sum / f64::from(count);
        }
    }

    /// The rows of this job in a pass, by what the network does with them.
    fn rows(&self, part: &Part) -> Rows {
        let clean = Rows {
            all: part.clean.len(),
            ..Rows::default()
        };
        match part.predicts {
            Predicts::Nothing => return clean,
            Predicts::NextToken => return Rows { open: 1, ..clean },
            Predicts::Block => {}
        }
        let read = self.run.read();
        let soft = |position: &&usize| matches!(self.run.state().levels[**position], Level::Soft(_));
        Rows {
            all: part.clean.len() + self.block_len(),
            open: read.len(),
            soft: read.iter().filter(soft).count(),
            conditioned: read
                .iter()
                .filter(|position| self.predictions[**position].is_some())
                .count(),
            data: read.len() * usize::from(self.reads_data()),
            ..Rows::default()
        }
    }

    /// Whether the next pass must predict data: for the solver, or for the pass behind it.
    pub(crate) fn reads_data(&self) -> bool {
        self.run.needs_data() || self.request.settings.self_condition
    }

    /// The event of one denoising step.
    pub(crate) fn pass_event(&self, report: StepReport, compute: PassCompute) -> Event {
        Event::Pass {
            request: self.request.id,
            block: self.block,
            step: self.run.nfe() - 1,
            nfe: self.nfe,
            canvas: self.run.state().tokens.clone(),
            report,
            compute,
            retrieved: self.retrieved.clone(),
        }
    }

    /// Block and step that a failure is reported with.
    pub(crate) fn place(&self) -> (usize, usize) {
        (self.block, self.run.nfe())
    }

    /// Takes a finished block into the text and starts the next one; `Some` when the text is complete.
    pub(crate) fn turn(&mut self, tokenizer: &Tokenizer, events: &mut Vec<Event>) -> Result<Option<Output>> {
        let end_of_text = tokenizer.end_of_text();
        let tokens: Vec<u32> = self
            .run
            .state()
            .tokens
            .iter()
            .map(|token| token.unwrap_or(end_of_text))
            .collect();
        self.committed += tokens.len();
        let stops = self.request.settings.stop_at_end && matches!(self.request.task, Task::Continue(_));
        let end = if stops {
            tokens.iter().position(|token| tokenizer.stop_tokens().contains(token))
        } else {
            None
        };
        let written = &tokens[..end.unwrap_or(tokens.len())];
        let complete = end.is_some() || self.committed >= self.budget || matches!(self.request.task, Task::Infill(_));
        let mut text = self.stream.push(written);
        if complete {
            // A character that stays incomplete is part of the text, as it is when all ids are decoded at once.
            text.push_str(&self.stream.clone().finish());
        }
        if self.spaced && !text.is_empty() {
            self.spaced = false;
            self.dropped = usize::from(text.starts_with(' '));
            text.drain(..self.dropped);
        }
        let (mut text, stopped) = self.stop.push(&text);
        if complete && !stopped {
            text.push_str(&self.stop.finish());
        }
        self.ids.extend_from_slice(written);
        self.text.push_str(&text);
        while stopped && tokenizer.decode(&self.ids).len() > self.dropped + self.text.len() {
            self.ids.pop();
        }
        events.push(Event::BlockCommitted {
            request: self.request.id,
            block: self.block,
            text,
            tokens: self.ids.len(),
        });
        if complete || stopped {
            return Ok(Some(self.output(match end {
                _ if stopped => StopReason::Stop,
                Some(_) => StopReason::End,
                None => StopReason::Length,
            })));
        }
        let len = self.block_size.min(self.budget - self.committed);
        let canvas = vec![None; len];
        self.run = block_run(&self.request, &self.table, &self.ids, &canvas, self.predicts_all)?;
        self.predictions = vec![None; len];
        self.difficulty = 1.0;
        self.left = tokens.len();
        self.clean = tokens;
        self.block += 1;
        Ok(None)
    }

    fn output(&mut self, stop: StopReason) -> Output {
        let ids = std::mem::take(&mut self.ids);
        Output {
            text: std::mem::take(&mut self.text),
            ids,
            nfe: self.nfe,
            committed_tokens: self.committed,
            canvas_tokens: self.canvas,
            flops: self.flops,
            scoring_flops: self.scoring_flops,
            routed: std::mem::take(&mut self.routed),
            stop,
        }
    }
}
