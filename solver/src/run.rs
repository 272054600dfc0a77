//! One block of text on its way from nothing known to all known.

mod asks;

use drdiff_diffusion::{Level, ScheduleConfig, Vp, evidence_from_latent};
use drdiff_noise::{Noise, Purpose};
use rayon::prelude::*;

use crate::absorbing::LogitHistory;
use crate::commit::Candidate;
use crate::config::{Process, SamplerConfig};
use crate::denoiser::Prediction;
use crate::dpm::{self, History, Update};
use crate::error::{Error, Result, require, require_len};
use crate::frequency::Before;
use crate::grid::TimeGrid;
use crate::report::{Choice, StepReport};
use crate::sampling::draw;
use crate::table::Table;

/// What the network must see of a block.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockState {
    /// Length of a row of evidence.
    pub dim: usize,
    /// `[positions]`.
    pub levels: Vec<Level>,
    /// Tokens of anchors, `[positions]`; `None` where the position is open.
    pub tokens: Vec<Option<u32>>,
    /// Evidence `y` of soft positions, `[positions * dim]`; zeros at absorbed positions and at anchors, whose clean
    /// embedding the network looks up itself.
    pub evidence: Vec<f64>,
}

/// A position's own bookkeeping.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Given by the caller; never changes.
    pinned: bool,
    /// Share of its path that a soft position has covered.
    progress: f64,
    /// Probability of its token when it was committed.
    confidence: f64,
    /// Committed, and opened again once.
    reopened: bool,
}

/// The sampler of one block: a state machine without a network. See the crate's documentation for its use.
#[derive(Debug, Clone)]
pub struct BlockRun {
    config: SamplerConfig,
    grid: TimeGrid<ScheduleConfig>,
    table: Table,
    noise: Noise,
    first_position: u64,
    step: usize,
    total: usize,
    places: Vec<Place>,
    latents: Vec<f64>,
    history: History,
    logits: LogitHistory,
    state: BlockState,
    /// Whether a step asks for no more than it needs.
    sparing: bool,
    /// The last tokens of the text before the block.
    before: Before,
}

impl BlockRun {
    /// A block of `tokens.len()` positions; `Some` pins a token (an anchor from the start), `None` is to be written.
    /// `first_position` is the absolute index of its first position in the text: with the request's `noise` it keys
    /// all randomness, so it must differ between the blocks of a request.
    ///
    /// # Errors
    /// When the configuration is not usable or a pinned token is not in the table.
    pub fn new(
        config: SamplerConfig,
        table: Table,
        noise: Noise,
        first_position: u64,
        tokens: &[Option<u32>],
    ) -> Result<Self> {
        config.validate()?;
        for token in tokens.iter().flatten() {
            table.row(*token)?;
        }
        let dim = table.dim();
        let grid = TimeGrid::new(config.schedule, config.grid.clone())?;
        let place = |token: &Option<u32>| Place {
            pinned: token.is_some(),
            progress: 0.0,
            confidence: 1.0,
            reopened: false,
        };
        let mut run = Self {
            grid,
            noise,
            first_position,
            step: 0,
            total: tokens.iter().filter(|t| t.is_none()).count(),
            places: tokens.iter().map(place).collect(),
            latents: vec![0.0; tokens.len() * dim],
            history: History::default(),
            logits: LogitHistory::default(),
            state: BlockState {
                dim,
                levels: vec![Level::Anchor; tokens.len()],
                tokens: tokens.to_vec(),
                evidence: vec![0.0; tokens.len() * dim],
            },
            sparing: false,
            before: Before::default(),
            config,
            table,
        };
        for position in run.open() {
            run.begin(position);
        }
        Ok(run)
    }

    /// What the network must see now.
    #[must_use]
    pub fn state(&self) -> &BlockState {
        &self.state
    }

    /// The positions without a token, ascending.
    #[must_use]
    pub fn open(&self) -> Vec<usize> {
        (0..self.places.len())
            .filter(|p| self.state.tokens[*p].is_none())
            .collect()
    }

    /// The same block, whose steps ask for the predictions that they cannot do without, and report no others.
    #[must_use]
    pub fn sparing(self) -> Self {
        Self { sparing: true, ..self }
    }

    /// The same block behind a text that ends with the tokens `recent`, in reading order: what [`FrequencyConfig`](crate::FrequencyConfig) counts.
    #[must_use]
    pub fn behind(self, recent: Vec<u32>) -> Self {
        Self {
            before: Before::of(recent),
            ..self
        }
    }

    /// Network evaluations so far.
    #[must_use]
    pub fn nfe(&self) -> usize {
        self.step
    }

    /// Whether every position has its token.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state.tokens.iter().all(Option::is_some)
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &SamplerConfig {
        &self.config
    }

    /// The embedding table.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Moves on by one step with what the network says about [`BlockRun::state`]: logits where it is [asked](BlockRun::asked) for
    /// them, data at every open position if it [needs](BlockRun::needs_data) them.
    ///
    /// # Errors
    /// [`Error::Finished`], [`Error::Shape`] when the prediction does not fit, [`Error::BadLogits`].
    pub fn advance(&mut self, mut prediction: Prediction) -> Result<StepReport> {
        let (open, asked) = (self.open(), self.asked());
        if open.is_empty() {
            return Err(Error::Finished);
        }
        require_len("logits", prediction.logits.len(), asked.len() * self.table.vocabulary())?;
        let last = self.commits_all(self.step);
        let soft = self.needs_data();
        if soft {
            require_len("data prediction", prediction.data.len(), open.len() * self.state.dim)?;
            let broken = prediction.data.iter().find(|x| !x.is_finite());
            broken.map_or(Ok(()), |x| require(false, "data prediction", *x, "finite"))?;
        }
        if self.extrapolates() {
            self.extrapolate(open.len(), &asked, &mut prediction.logits);
        }
        let (frequency, vocabulary) = (&self.config.frequency, self.table.vocabulary());
        let own = &self.state.tokens;
        frequency.hold_back(&self.before, own, &asked, &mut prediction.logits, vocabulary);
        let candidates = self.draw_all(&asked, &prediction.logits)?;
        let chosen = if self.config.commit.is_blind() {
            self.blind_choice(&open, self.step)
        } else {
            match self.commit_count(self.step, open.len()) {
                0 => Vec::new(),
                count => {
                    let (noise, first) = (&self.noise, self.first_position);
                    let commit = &self.config.commit;
                    commit.select(&candidates, count, noise, self.step as u64, first)
                }
            }
        };

        let doubtful = if last { Vec::new() } else { self.doubtful() };
        if soft {
            self.move_soft(&open, &candidates, &chosen, &prediction.data)?;
        }
        let mut report = StepReport::default();
        for candidate in &candidates {
            let Candidate { position, draw } = *candidate;
            if chosen.binary_search(&position).is_ok() {
                report.committed.push(Choice {
                    position,
                    token: draw.token,
                    probability: draw.probability,
                });
                self.commit(position, draw.token, draw.probability);
            } else {
                report.provisional.push(Choice {
                    position,
                    token: draw.top,
                    probability: draw.top_probability,
                });
            }
        }
        self.step += 1;
        for position in doubtful {
            self.places[position].reopened = true;
            self.open_again(position);
            report.reabsorbed.push(position);
        }
        report.finished = self.is_finished();
        Ok(report)
    }

    /// Replaces logits by their second-order extrapolation over the coming step, before which so many positions are `open`.
    fn extrapolate(&mut self, open: usize, asked: &[usize], logits: &mut [f32]) {
        let share = |left: usize| 1.0 - left as f64 / self.total as f64;
        let left = self
            .config
            .pace
            .open_after(self.step + 1, self.config.steps, self.total)
            .min(open - 1);
        let (done, next) = (share(open), share(left));
        for (position, row) in asked.iter().zip(logits.chunks_exact_mut(self.table.vocabulary())) {
            self.logits.extrapolate(*position, row, done, next);
        }
    }

    /// A token for each of these positions. Rows are drawn side by side: with thousands of words to each, they cost more than small networks.
    fn draw_all(&self, asked: &[usize], logits: &[f32]) -> Result<Vec<Candidate>> {
        asked
            .par_iter()
            .zip(logits.par_chunks_exact(self.table.vocabulary()))
            .map(|(&position, row)| {
                let u = self
                    .noise
                    .uniform(Purpose::Sample, self.step as u64, self.first_position + position as u64);
                let draw = draw(row, &self.config.sampling, u).ok_or(Error::BadLogits { position })?;
                Ok(Candidate { position, draw })
            })
            .collect()
    }

    /// Committed positions to open again after this step, ascending.
    fn doubtful(&self) -> Vec<usize> {
        let Some(reabsorb) = self.config.reabsorb else {
            return Vec::new();
        };
        let mut found: Vec<usize> = (0..self.places.len())
            .filter(|&p| {
                let place = &self.places[p];
                let committed = self.state.tokens[p].is_some() && !place.pinned;
                committed && !place.reopened && place.confidence < reabsorb.below
            })
            .collect();
        found.sort_by(|a, b| {
            self.places[*a]
                .confidence
                .total_cmp(&self.places[*b].confidence)
                .then(a.cmp(b))
        });
        found.truncate(reabsorb.per_step);
        found.sort_unstable();
        found
    }

    /// Advances the soft positions that stay open along their paths.
    fn move_soft(&mut self, open: &[usize], candidates: &[Candidate], chosen: &[usize], data: &[f64]) -> Result<()> {
        let (n, dim) = (self.places.len(), self.state.dim);
        let width = 1.0 / (self.config.steps - 1) as f64;
        let base = (self.step + 1) as f64 * width;
        let guided = self.reads_tops();
        let mut rows = vec![0.0; n * dim];
        let (mut from, mut to) = (vec![f64::NAN; n], vec![f64::NAN; n]);
        for (index, (&position, given)) in open.iter().zip(data.chunks_exact(dim)).enumerate() {
            let span = position * dim..(position + 1) * dim;
            let place = &mut self.places[position];
            let (time, log_snr) = self.grid.at(place.progress);
            let row = &mut rows[span.clone()];
            row.copy_from_slice(given);
            cool(row, &self.latents[span], log_snr, self.config.score_temperature);
            let guidance = &self.config.guidance;
            // Where tops are read, every open position has a candidate.
            let top = guided.then(|| candidates[index].draw);
            if let Some(draw) = top {
                guidance.pull(row, self.table.row(draw.top)?, draw.top_probability, time);
            }
            from[position] = 0.5 * log_snr;
            if chosen.binary_search(&position).is_err() {
                let sure = top.is_some_and(|draw| guidance.is_sure(draw.top_probability));
                place.progress = guidance.advance(place.progress, base, width, sure);
                to[position] = 0.5 * self.grid.at(place.progress).1;
            }
        }
        self.history.push(&from, &rows);
        let update = Update {
            solver: self.config.solver,
            to: &to,
            dim,
            max_order: self.config.max_order(self.step),
            noise: &self.noise,
            step: self.step as u64,
            first_position: self.first_position,
        };
        dpm::step(&update, &self.history, &mut self.latents)?;
        for (position, lambda) in to.iter().enumerate() {
            if !lambda.is_nan() {
                self.show(position);
            }
        }
        Ok(())
    }

    /// Opens a committed position again: at the start of its path, or on a path whose levels stay, with the evidence that it had.
    fn open_again(&mut self, position: usize) {
        self.state.tokens[position] = None;
        self.logits.forget(position);
        match self.config.process {
            Process::Hybrid => self.show(position),
            _ => self.begin(position),
        }
    }

    /// Puts an open position at the start of its path.
    fn begin(&mut self, position: usize) {
        self.places[position].progress = 0.0;
        if self.config.process.is_soft() {
            let latent = &mut self.latents[position * self.state.dim..][..self.state.dim];
            self.noise.normal(
                Purpose::Prior,
                self.step as u64,
                self.first_position + position as u64,
                latent,
            );
            self.show(position);
        } else {
            self.state.levels[position] = Level::Absorbed;
        }
    }

    /// Writes the level and the evidence of a soft position into the state.
    fn show(&mut self, position: usize) {
        let dim = self.state.dim;
        let snr = self.grid.at(self.places[position].progress).1.exp();
        let span = position * dim..(position + 1) * dim;
        self.state.levels[position] = Level::Soft(snr);
        evidence_from_latent(&self.latents[span.clone()], snr, &mut self.state.evidence[span]);
    }

    fn commit(&mut self, position: usize, token: u32, probability: f64) {
        let dim = self.state.dim;
        self.state.tokens[position] = Some(token);
        self.state.levels[position] = Level::Anchor;
        self.state.evidence[position * dim..][..dim].fill(0.0);
        self.places[position].confidence = probability;
    }
}

/// Score temperature: divides the noise `z - alpha x` that a data prediction implies.
fn cool(data: &mut [f64], latent: &[f64], log_snr: f64, temperature: f64) {
    let alpha = Vp::from_lambda(0.5 * log_snr).alpha;
    if temperature != 1.0 && alpha > 0.05 {
        for (x, z) in data.iter_mut().zip(latent) {
            *x = (z - (z - alpha * *x) / temperature) / alpha;
        }
    }
}
