//! One network pass for many texts: their rows side by side, never padded, never visible to one another.

use candle_core::Tensor;
use drdiff_attention::Past;
use drdiff_diffusion::Level;
use drdiff_model::{Input, LastPrediction, Network, Rows, Soft};
use drdiff_routing::{ComputeReport, Groups, Read};
use drdiff_solver::{BlockRun, Prediction};

use crate::Result;
use crate::banks::Banks;
use crate::block::Block;
use crate::cohorts::{Cohorts, Member};
use crate::compute::Span;
use crate::scheduler::Entry;
use crate::step_plan::{Predicts, StepPlan};

/// Rows of a pass, gathered text after text.
#[derive(Default)]
struct Batch {
    index: Vec<u32>,
    /// Evidence of soft rows.
    soft: Vec<f32>,
    /// Rows that are predicted, and for each of them 0 or 1 + its soft row.
    read: Vec<u32>,
    pick: Vec<u32>,
    /// Last data predictions to condition on with their entropies, and for every row 0 or 1 + its place among them.
    data: Vec<f32>,
    entropy: Vec<f32>,
    place: Vec<u32>,
    signal: Vec<f32>,
    groups: Groups,
}

impl Batch {
    fn clean(&mut self, token: u32) {
        self.index.push(token);
        self.place.push(0);
        self.signal.push(1.0);
        self.groups.settled(1);
    }

    /// The last clean row predicts the token behind it.
    fn next_token(&mut self) {
        self.read.push((self.index.len() - 1) as u32);
        self.pick.push(0);
    }

    fn block(&mut self, block: &Block, budget: f64, vocab: u32, embed: usize) {
        let state = block.run.state();
        let signal = |level: &Level| match level {
            Level::Absorbed => 0.0,
            Level::Soft(snr) => snr / (1.0 + snr),
            Level::Anchor => 1.0,
        };
        let read = block.run.read();
        let mean = state.levels.iter().map(signal).sum::<f64>() / state.levels.len() as f64;
        let open: Vec<bool> = state.levels.iter().map(|level| *level != Level::Anchor).collect();
        self.groups.block(&open, mean, budget);
        for (position, (level, token)) in state.levels.iter().zip(&state.tokens).enumerate() {
            let row = self.index.len() as u32;
            let mut pick = 0;
            match (level, token) {
                (Level::Anchor, Some(token)) => self.index.push(*token),
                (Level::Soft(_), _) => {
                    let y = &state.evidence[position * embed..][..embed];
                    self.soft.extend(y.iter().map(|y| *y as f32));
                    pick = (self.soft.len() / embed) as u32;
                    self.index.push(vocab + pick);
                }
                _ => self.index.push(vocab),
            }
            if read.binary_search(&position).is_ok() {
                self.read.push(row);
                self.pick.push(pick);
            }
            let known = block.predictions[position].as_ref().filter(|_| token.is_none());
            self.place.push(known.map_or(0, |known| {
                self.data.extend(known.x_hat.iter().map(|x| *x as f32));
                self.entropy.push(known.entropy);
                self.entropy.len() as u32
            }));
            self.signal.push(mean as f32);
        }
    }

    /// Adds a view of a text, whose clean tokens are `clean`: where it lies.
    fn push(&mut self, entry: &Entry, predicts: Predicts, clean: &[u32], network: &Network) -> Span {
        let (config, sequence) = (network.config(), &entry.sequence);
        let share = sequence.share(&config.routing);
        let (row, group) = (self.index.len(), self.groups.len());
        let (read, routed) = (self.read.len(), self.groups.members());
        let (soft, conditioned) = (self.pick.len(), self.entropy.len());
        clean.iter().for_each(|token| self.clean(*token));
        match predicts {
            Predicts::Nothing => {}
            Predicts::Block => self.block(&sequence.block, share, config.vocab as u32, config.embed),
            Predicts::NextToken => self.next_token(),
        }
        let open = self.read.len() - read;
        let data = sequence.reads_data() && predicts == Predicts::Block;
        Span {
            rows: row..self.index.len(),
            block: row + clean.len(),
            groups: group..self.groups.len(),
            counts: Rows {
                all: self.index.len() - row,
                open,
                soft: self.pick[soft..].iter().filter(|pick| **pick > 0).count(),
                conditioned: self.entropy.len() - conditioned,
                data: open * usize::from(data),
                routed: self.groups.members() - routed,
                taken: 0,
            },
            share,
        }
    }

    fn input(&self, network: &Network) -> Result<Input> {
        let (embed, device) = (network.config().embed, network.device());
        let rows = self.index.len();
        let mut input = Input::discrete(Tensor::from_slice(&self.index, rows, device)?);
        input.groups = self.groups.clone();
        input.read = match self.read.is_empty() {
            true => Read::Nothing,
            false => Read::Rows(Tensor::from_slice(&self.read, self.read.len(), device)?),
        };
        let matrix = |xs: &[f32]| Tensor::from_slice(xs, (xs.len() / embed, embed), device);
        if !self.soft.is_empty() {
            input.soft = Some(Soft::new(matrix(&self.soft)?)?);
        }
        if !self.data.is_empty() {
            let wanted = network.config().routing.reads_entropy();
            let entropy = || Tensor::from_slice(&self.entropy, self.entropy.len(), device);
            input.last = Some(LastPrediction {
                x_hat: matrix(&self.data)?,
                entropy: wanted.then(entropy).transpose()?,
                place: Tensor::from_slice(&self.place, rows, device)?,
            });
        }
        if network.config().noise_conditioning {
            input.mean_signal = Some(Tensor::from_slice(&self.signal, (rows, 1), device)?);
        }
        Ok(input)
    }
}

/// What a pass said of a text: where its rows were, and the predictions of its open positions, view by view.
pub(crate) struct Outcome {
    pub(crate) spans: Vec<Span>,
    pub(crate) views: Vec<Prediction>,
}

/// The network, and what the texts of an engine share in it.
pub(crate) struct Runner {
    pub(crate) network: Network,
    pub(crate) banks: Banks,
    cohorts: Cohorts,
}

impl Runner {
    /// A runner for up to `texts` at once.
    pub(crate) fn new(network: Network, texts: usize) -> Self {
        Self {
            network,
            banks: Banks::new(texts),
            cohorts: Cohorts::default(),
        }
    }

    /// One call of the network for all texts by their plans: an outcome for each.
    pub(crate) fn run(
        &mut self,
        entries: &mut [Entry],
        plans: &[StepPlan],
        report: &mut ComputeReport,
    ) -> Result<Vec<Outcome>> {
        let network = &self.network;
        let config = network.config();
        let mut batch = Batch::default();
        let mut members = Vec::with_capacity(entries.len());
        let mut spans = Vec::with_capacity(entries.len());
        for (entry, plan) in entries.iter_mut().zip(plans) {
            let own: Vec<Span> = plan
                .views()
                .map(|clean| batch.push(entry, plan.predicts, clean, network))
                .collect();
            let position = entry.slot.position();
            for (cache, span) in entry.slot.caches().zip(&own) {
                let len = span.rows.len();
                members.push(Member {
                    len,
                    position,
                    visible: plan.visible.clone(),
                    place: cache.place(len)?,
                });
            }
            spans.push(own);
        }
        self.cohorts.gather(&members, network)?;
        let input = batch.input(network)?;
        let caches = entries.iter_mut().flat_map(|entry| entry.slot.caches());
        let mut segments = self.cohorts.segments(caches.map(Past::Cache));
        let hidden = network.forward(&network.tables(None)?, &input, &mut segments, report)?;
        drop(segments);
        let mut said = None;
        if !batch.read.is_empty() {
            let mut evidence = network.evidence(&hidden)?.tensor().clone();
            if let Some(soft) = &input.soft {
                let device = network.device();
                let none = Tensor::zeros((1, config.embed), soft.evidence.dtype(), device)?;
                let pick = Tensor::from_slice(&batch.pick, batch.pick.len(), device)?;
                let y = Tensor::cat(&[&none, &soft.evidence], 0)?.index_select(&pick, 0)?;
                evidence = (evidence + y.to_dtype(network.dtype())?)?;
            }
            let logits = network.logits(&evidence)?;
            let wanted = entries.iter().any(|entry| entry.sequence.reads_data());
            let data = wanted.then(|| network.data_prediction(&logits)).transpose()?;
            said = Some((logits, data));
        }
        let mut first = 0;
        let mut outcomes = Vec::with_capacity(entries.len());
        for ((entry, plan), spans) in entries.iter().zip(plans).zip(spans) {
            let mut views = Vec::new();
            for span in spans.iter().filter(|_| plan.predicts != Predicts::Nothing) {
                let Some((logits, data)) = &said else { break };
                let data = data.as_ref().filter(|_| entry.sequence.reads_data());
                let data = data.map(|data| fetch(&data.narrow(0, first, span.counts.open)?));
                views.push(Prediction {
                    logits: asked(&logits.narrow(0, first, span.counts.open)?, &entry.sequence.block.run)?,
                    data: data.transpose()?.into_iter().flatten().map(f64::from).collect(),
                });
                first += span.counts.open;
            }
            outcomes.push(Outcome { spans, views });
        }
        Ok(outcomes)
    }
}

/// Of the rows that were read, those whose logits the block asks for: vocabularies are long, and most soft steps need none.
fn asked(logits: &Tensor, run: &BlockRun) -> Result<Vec<f32>> {
    if !run.needs_data() {
        return fetch(logits);
    }
    let (open, asked) = (run.open(), run.asked());
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    if asked.len() == open.len() {
        return fetch(logits);
    }
    let place = |position: &usize| open.binary_search(position).unwrap_or_default() as u32;
    let places: Vec<u32> = asked.iter().map(place).collect();
    let places = Tensor::from_slice(&places, places.len(), logits.device())?;
    Ok(logits.index_select(&places, 0)?.flatten_all()?.to_vec1()?)
}

/// Numbers of a view. Reading a view fetches all of what it is a view of, and so does a copy: each job would pay for all.
fn fetch(view: &Tensor) -> Result<Vec<f32>> {
    Ok(view.force_contiguous()?.flatten_all()?.to_vec1::<f32>()?)
}
