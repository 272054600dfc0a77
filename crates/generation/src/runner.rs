//! One network call for many texts: their rows side by side, never padded, never visible to one another.

use std::ops::Range;

use candle_core::Tensor;
use drdiff_attention::KvCache;
use drdiff_diffusion::Level;
use drdiff_model::{BlockRow, CachePool, DenoisingNetwork, TokenBatch, TokenSegment};
use drdiff_routing::ComputeReport;
use drdiff_solver::{BlockRun, Prediction};

use crate::Result;
use crate::block::Block;
use crate::drafts::DraftRows;
use crate::scheduler::Entry;
use crate::step_plan::{Predicts, StepPlan};
use crate::writing::Writing;

/// What a pass said of a text.
pub(crate) struct Outcome {
    /// Where its rows were, view by view.
    pub(crate) rows: Vec<TokenSegment>,
    /// Predictions of its open positions, view by view; of drafts, as far as they are needed whatever is decided.
    pub(crate) views: Vec<Prediction>,
    /// The other predictions of drafts.
    pub(crate) drafts: Unfetched,
}

/// Logits that are still where the network is, `[rows, vocab]` for each view.
#[derive(Default)]
pub(crate) struct Unfetched(Vec<Tensor>);

impl Unfetched {
    /// Some of the rows.
    pub(crate) fn fetch(&self, rows: Range<usize>) -> Result<Vec<Prediction>> {
        let views = self.0.iter().map(|logits| {
            Ok(Prediction {
                logits: fetch(&logits.narrow(0, rows.start, rows.len())?)?,
                data: Vec::new(),
            })
        });
        views.collect()
    }
}

/// The network, and what the texts of an engine share in it.
pub(crate) struct Runner {
    pub(crate) network: Box<dyn DenoisingNetwork>,
    pub(crate) pool: CachePool,
}

impl Runner {
    /// One call of the network for all texts by their plans: an outcome for each.
    pub(crate) fn run(
        &mut self,
        entries: &mut [Entry],
        plans: &[StepPlan],
        report: &mut ComputeReport,
    ) -> Result<Vec<Outcome>> {
        let spec = self.network.spec();
        let mut batch = TokenBatch::new(spec.vocab, spec.embed);
        for (entry, plan) in entries.iter().zip(plans) {
            let Entry { sequence, slot, .. } = entry;
            let share = sequence.share(&spec.routing);
            let position = slot.position();
            for clean in plan.views() {
                let segment = batch.segment(position, plan.visible.clone(), |batch| match &plan.predicts {
                    Predicts::Drafts(rows) => push_drafts(batch, (clean, rows), share),
                    predicts => {
                        clean.iter().for_each(|token| batch.token(*token));
                        match (predicts, &sequence.writing) {
                            (Predicts::Block, Writing::Block(block)) => push_block(batch, block, share),
                            (Predicts::NextToken, _) => batch.ask(),
                            _ => {}
                        }
                    }
                });
                if let Predicts::Drafts(rows) = &plan.predicts {
                    let first = segment.positions[0];
                    segment.positions.truncate(clean.len());
                    segment.positions.extend(rows.places().map(|place| first + place));
                }
                if sequence.reads_data() && plan.predicts == Predicts::Block {
                    segment.counts.data = segment.counts.open;
                }
            }
        }
        batch.wants_data = entries.iter().any(|entry| entry.sequence.reads_data());
        let mut caches: Vec<&mut KvCache> = entries.iter_mut().flat_map(|entry| entry.slot.caches()).collect();
        let said = self.network.forward(&batch, &mut caches, &mut self.pool, report)?;
        let (mut first, mut segments) = (0, batch.into_segments().into_iter());
        let mut outcomes = Vec::with_capacity(plans.len());
        for (entry, plan) in entries.iter().zip(plans) {
            let rows: Vec<TokenSegment> = segments.by_ref().take(plan.views().count()).collect();
            let (mut views, mut drafts) = (Vec::new(), Unfetched::default());
            for segment in rows.iter().filter(|_| plan.predicts != Predicts::Nothing) {
                let Some(said) = &said else { break };
                let open = segment.counts.open;
                let data = said.data.as_ref().filter(|_| entry.sequence.reads_data());
                let data = data.map(|data| fetch(&data.narrow(0, first, open)?)).transpose()?;
                let logits = said.logits.narrow(0, first, open)?;
                views.push(Prediction {
                    logits: match (&plan.predicts, entry.sequence.writing.block()) {
                        (Predicts::Drafts(rows), _) => fetch(&logits.narrow(0, 0, rows.needed())?)?,
                        (_, Some(block)) => asked(&logits, &block.run)?,
                        (_, None) => Vec::new(),
                    },
                    data: data.into_iter().flatten().map(f64::from).collect(),
                });
                if let Predicts::Drafts(rows) = &plan.predicts {
                    drafts.0.push(logits.narrow(0, rows.needed(), open - rows.needed())?);
                }
                first += open;
            }
            outcomes.push(Outcome { rows, views, drafts });
        }
        Ok(outcomes)
    }
}

/// The rows of a block.
fn push_block(batch: &mut TokenBatch, block: &Block, budget: f64) {
    let (state, read) = (block.run.state(), block.run.read());
    let row = |position: usize| {
        let token = state.tokens[position];
        BlockRow {
            level: state.levels[position],
            token,
            evidence: &state.evidence[position * state.dim..][..state.dim],
            asked: read.binary_search(&position).is_ok(),
            last: block.predictions[position].as_ref().filter(|_| token.is_none()),
        }
    };
    batch.block((0..block.len()).map(row), budget);
}

/// Clean tokens, drafts among them, and masked rows.
fn push_drafts(batch: &mut TokenBatch, (clean, rows): (&[u32], &DraftRows), budget: f64) {
    for (at, token) in clean.iter().enumerate() {
        batch.token(*token);
        if at + 1 >= rows.text && rows.asks_clean() {
            batch.ask();
        }
    }
    for masked in rows.masked() {
        let row = |at: usize| BlockRow {
            level: Level::Absorbed,
            token: None,
            evidence: &[],
            asked: masked.asked.contains(&at),
            last: None,
        };
        batch.block((0..masked.branch.rows).map(row), budget);
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

/// Numbers of a view. Reading a view fetches all of what it is a view of, and so does a copy: each text would pay for all.
fn fetch(view: &Tensor) -> Result<Vec<f32>> {
    Ok(view.force_contiguous()?.flatten_all()?.to_vec1::<f32>()?)
}
