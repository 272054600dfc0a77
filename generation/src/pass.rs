//! One network pass for many jobs: their rows side by side, never padded, never visible to one another.

use candle_core::Tensor;
use drdiff_attention::Past;
use drdiff_diffusion::Level;
use drdiff_model::{Input, LastPrediction, Network, Soft};
use drdiff_routing::{ComputeReport, Groups, Read};
use drdiff_solver::{BlockRun, Prediction};

use crate::Result;
use crate::cohorts::{Cohorts, Member};
use crate::compute::Span;
use crate::job::Job;
use crate::part::{Part, Predicts};

/// Rows of a pass, gathered job after job.
#[derive(Default)]
struct Rows {
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

impl Rows {
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

    fn block(&mut self, job: &Job, budget: f64, vocab: u32, embed: usize) {
        let state = job.run.state();
        let signal = |level: &Level| match level {
            Level::Absorbed => 0.0,
            Level::Soft(snr) => snr / (1.0 + snr),
            Level::Anchor => 1.0,
        };
        let read = job.run.read();
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
            let known = job.predictions[position].as_ref().filter(|_| token.is_none());
            self.place.push(known.map_or(0, |known| {
                self.data.extend(known.x_hat.iter().map(|x| *x as f32));
                self.entropy.push(known.entropy);
                self.entropy.len() as u32
            }));
            self.signal.push(mean as f32);
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

/// Runs the network once over the parts of all jobs and returns, for each job, where its rows were and the prediction of
/// its open positions.
pub(crate) fn predict(
    network: &Network,
    jobs: &mut [&mut Job],
    parts: &[Part],
    (cohorts, report): (&mut Cohorts, &mut ComputeReport),
) -> Result<Vec<(Vec<Span>, Option<Prediction>)>> {
    let config = network.config();
    let mut rows = Rows::default();
    let mut members = Vec::with_capacity(jobs.len());
    let mut spans = Vec::with_capacity(jobs.len());
    for (job, part) in jobs.iter_mut().zip(parts) {
        let (share, first_span) = (job.share(&config.routing), spans.len());
        for clean in part.views() {
            let (first_row, first_group) = (rows.index.len(), rows.groups.len());
            let (first_read, first_routed) = (rows.read.len(), rows.groups.members());
            clean.iter().for_each(|token| rows.clean(*token));
            match part.predicts {
                Predicts::Nothing => {}
                Predicts::Block => rows.block(job, share, config.vocab as u32, config.embed),
                Predicts::NextToken => rows.next_token(),
            }
            spans.push(Span {
                rows: first_row..rows.index.len(),
                block: first_row + clean.len(),
                groups: first_group..rows.groups.len(),
                routed: rows.groups.members() - first_routed,
                read: rows.read.len() - first_read,
                share,
            });
        }
        let (position, own) = (job.position as i64, &spans[first_span..]);
        for (cache, span) in job.caches().zip(own) {
            let len = span.rows.len();
            members.push(Member {
                len,
                position,
                plan: part.plan.clone(),
                place: cache.place(len)?,
            });
        }
    }
    cohorts.gather(&members, network)?;
    let input = rows.input(network)?;
    let caches = jobs.iter_mut().flat_map(|job| job.caches());
    let mut segments = cohorts.segments(caches.map(Past::Cache));
    let hidden = network.forward(&network.tables(None)?, &input, &mut segments, report)?;
    drop(segments);
    if rows.read.is_empty() {
        return split(jobs, parts, spans, None, None);
    }
    let mut evidence = network.evidence(&hidden)?.tensor().clone();
    if let Some(soft) = &input.soft {
        let device = network.device();
        let none = Tensor::zeros((1, config.embed), soft.evidence.dtype(), device)?;
        let pick = Tensor::from_slice(&rows.pick, rows.pick.len(), device)?;
        let y = Tensor::cat(&[&none, &soft.evidence], 0)?.index_select(&pick, 0)?;
        evidence = (evidence + y.to_dtype(network.dtype())?)?;
    }
    let logits = network.logits(&evidence)?;
    let data = if jobs.iter().any(|job| job.reads_data()) {
        Some(network.data_prediction(&logits)?)
    } else {
        None
    };
    split(jobs, parts, spans, Some(&logits), data.as_ref())
}

fn split(
    jobs: &[&mut Job],
    parts: &[Part],
    spans: Vec<Span>,
    logits: Option<&Tensor>,
    data: Option<&Tensor>,
) -> Result<Vec<(Vec<Span>, Option<Prediction>)>> {
    let (mut first, mut spans) = (0, spans.into_iter());
    let mut predictions = Vec::with_capacity(jobs.len());
    for (job, part) in jobs.iter().zip(parts) {
        let own: Vec<Span> = spans.by_ref().take(part.views().count()).collect();
        let mut views = Vec::new();
        for span in own.iter().filter(|_| part.predicts != Predicts::Nothing) {
            let Some(logits) = logits else { break };
            let data = data.filter(|_| job.reads_data());
            let data = data.map(|data| fetch(&data.narrow(0, first, span.read)?)).transpose()?;
            views.push(Prediction {
                logits: asked(&logits.narrow(0, first, span.read)?, &job.run)?,
                data: data.into_iter().flatten().map(f64::from).collect(),
            });
            first += span.read;
        }
        let prediction = job.guided(views.into_iter())?;
        predictions.push((own, prediction));
    }
    Ok(predictions)
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
