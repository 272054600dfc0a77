//! From tokens and levels to the rows of a pass: first on the host, ahead of time, then on the device.

use candle_core::Tensor;
use drdiff_diffusion::Levels;
use drdiff_kernels::{Noise, Purpose, embedding};
use drdiff_model::{Input, Mask, Network, Soft, Tables};
use drdiff_routing::{Groups, Read};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::{Error, Result};

/// Sequences of one forward pass, corrupted and laid out as `[noisy | clean]` or alone, on the host.
#[derive(Debug, Clone)]
pub struct Corrupted {
    /// Sequences.
    pub(crate) batch: usize,
    /// Text positions of each.
    pub(crate) len: usize,
    /// Rows of each: twice its positions, or as many.
    pub(crate) each: usize,
    /// What each row of the pass reads, as in [`Input`] with `vocab` counted from the network.
    index: Vec<u32>,
    /// For each row of the pass: 0, or 1 + its place among the open rows.
    place: Vec<u32>,
    open: Vec<u32>,
    /// For each open row: 0 without evidence, `j + 1` for soft row `j`.
    picks: Vec<u32>,
    targets: Vec<u32>,
    /// Loss weights of the open rows; they sum to one.
    weights: Vec<f32>,
    /// What those of the noisy half summed to before.
    weight: f32,
    /// Open rows of the noisy half; those behind them are of the clean half, and predict next tokens.
    noisy: usize,
    soft: SoftRows,
    /// Mean of `alpha^2 = s / (1 + s)` over each sequence, for its noisy half; 1 for the clean half.
    signal: Vec<f32>,
    /// Blocks of the rows, for routed experts.
    groups: Groups,
}

/// Tokens, signal-to-noise ratios and noise `sqrt(s) n` of the soft positions.
#[derive(Debug, Clone)]
struct SoftRows {
    ids: Vec<u32>,
    snr: Vec<f32>,
    noise: Vec<f32>,
}

/// A pass that is laid out on the device.
#[derive(Clone)]
pub(crate) struct Rows {
    pub(crate) input: Input,
    /// Rows of the pass that are predicted, `[open]` u32; a pass may read fewer.
    pub(crate) open: Tensor,
    /// For each open row: 0 without evidence, `j + 1` for soft row `j`; `None` if no row is soft.
    pub(crate) evidence: Option<Tensor>,
    pub(crate) targets: Tensor,
    pub(crate) weights: Tensor,
    /// As in [`Corrupted`].
    pub(crate) noisy: usize,
    /// For each row of the pass: 0, or 1 + its place among the open rows.
    pub(crate) place: Tensor,
}

impl Corrupted {
    /// Corrupts `batch` sequences of `tokens` to their `levels` (both `[batch * len]`) for a network of `vocab` tokens
    /// and `embed` numbers of evidence. The noise of the soft positions depends on its key, `step` and position alone.
    pub fn new(
        tokens: &[u32],
        levels: &Levels,
        batch: usize,
        (vocab, embed): (usize, usize),
        (noise, step): (Noise, u64),
    ) -> Self {
        let len = tokens.len() / batch.max(1);
        let mut rows = Self {
            batch,
            len,
            each: 2 * len,
            index: Vec::with_capacity(2 * tokens.len()),
            place: vec![0; 2 * tokens.len()],
            open: Vec::new(),
            picks: Vec::new(),
            targets: Vec::new(),
            weights: Vec::new(),
            weight: 0.0,
            noisy: 0,
            soft: SoftRows::draw(tokens, levels, embed, noise, step),
            signal: mean_signal(levels, len),
            groups: Groups::default(),
        };
        let mut soft_seen = 0;
        for b in 0..batch {
            let sequence = b * len..(b + 1) * len;
            for (i, token) in sequence.clone().zip(&tokens[sequence.clone()]) {
                let (row, snr) = (rows.index.len(), levels.snr[i]);
                let soft = is_soft(snr);
                soft_seen += u32::from(soft);
                rows.index.push(match snr {
                    0.0 => vocab as u32,
                    _ if soft => vocab as u32 + soft_seen,
                    _ => *token,
                });
                if levels.weight[i] > 0.0 {
                    rows.open.push(row as u32);
                    rows.place[row] = rows.open.len() as u32;
                    rows.picks.push(if soft { soft_seen } else { 0 });
                    rows.targets.push(*token);
                    rows.weights.push(levels.weight[i]);
                }
            }
            rows.index.extend_from_slice(&tokens[sequence]);
        }
        let total: f32 = rows.weights.iter().sum();
        let share = total.max(f32::MIN_POSITIVE).recip();
        rows.weights.iter_mut().for_each(|weight| *weight *= share);
        rows.weight = total;
        rows.noisy = rows.open.len();
        rows
    }

    /// Lets the rows of the clean half predict the tokens behind them, but for the ends of documents (`end_of_text`), which say
    /// nothing of what comes next: their mean cross-entropy counts `share` times that of the noisy half. To be called last.
    #[must_use]
    pub(crate) fn with_next_tokens(mut self, tokens: &[u32], end_of_text: u32, share: f64) -> Self {
        let clean = self.each - self.len;
        let begin = self.open.len();
        for (sequence, tokens) in tokens.chunks(self.len.max(1)).enumerate() {
            let row = sequence * self.each + clean;
            for (at, pair) in tokens.windows(2).enumerate().filter(|(_, pair)| pair[0] != end_of_text) {
                self.open.push((row + at) as u32);
                self.targets.push(pair[1]);
            }
        }
        let count = self.open.len() - begin;
        self.picks.resize(self.open.len(), 0);
        self.weights
            .resize(self.open.len(), (share / count.max(1) as f64) as f32);
        self
    }

    /// Text position of each open row, counted through all sequences.
    pub(crate) fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        let of = |row: &u32| {
            let (sequence, at) = (*row as usize / self.each, *row as usize % self.each);
            sequence * self.len + at % self.len
        };
        self.open.iter().map(of)
    }

    /// Open rows of the noisy half, which come first.
    pub(crate) fn noisy(&self) -> usize {
        self.noisy
    }

    /// What the targets weigh together: of the passes of a step each counts by it.
    pub(crate) fn weight(&self) -> f64 {
        f64::from(self.weight)
    }

    /// The noisy half alone, for blocks that are the whole window: their noisy rows see nothing of the clean half. To be
    /// called before [`Corrupted::in_blocks`].
    #[must_use]
    pub fn alone(mut self) -> Self {
        let (len, each) = (self.len, self.each);
        for rows in [&mut self.index, &mut self.place] {
            keep(rows, len, each);
        }
        keep(&mut self.signal, len, each);
        for row in &mut self.open {
            let (sequence, at) = (*row as usize / each, *row as usize % each);
            *row = (sequence * len + at) as u32;
        }
        self.each = len;
        self
    }

    /// Absorbs the first tokens of each sequence, as many as `lengths` says, in the clean half as well.
    pub(crate) fn hide(&mut self, lengths: &[usize], vocab: usize) {
        for (rows, hidden) in self.index.chunks_mut(self.each).zip(lengths) {
            rows[self.each - self.len..][..*hidden].fill(vocab as u32);
        }
    }

    /// Tells routed experts to which block of `block_size` positions each row belongs: its open positions may spend the
    /// share `budget` of the experts' full compute, anchors and the clean half none. `levels` are those of
    /// [`Corrupted::new`].
    #[must_use]
    pub fn in_blocks(mut self, levels: &Levels, block_size: usize, budget: f64) -> Self {
        self.groups = Groups::default();
        for sequence in levels.snr.chunks(self.len.max(1)) {
            for block in sequence.chunks(block_size.max(1)) {
                let open: Vec<bool> = block.iter().map(|snr| snr.is_finite()).collect();
                let mean = block.iter().map(|snr| f64::from(signal(*snr))).sum::<f64>() / block.len() as f64;
                self.groups.block(&open, mean, budget);
            }
            self.groups.settled(self.each - sequence.len());
        }
        self
    }

    /// Puts the rows where the network is, which has to know masks.
    pub(crate) fn place(&self, network: &Network, tables: &Tables) -> Result<Rows> {
        if network.config().mask == Mask::Absent {
            return Err(Error::Config(
                "the model reads text token by token and knows no masks; name a diffusion model here".to_owned(),
            ));
        }
        let device = network.device();
        let vector = |values: &[u32]| Tensor::from_slice(values, values.len(), device);
        let mut input = Input::discrete(vector(&self.index)?);
        input.groups = self.groups.clone();
        let mut evidence = None;
        if !self.soft.ids.is_empty() {
            input.soft = Some(self.soft.place(network, tables)?);
            evidence = Some(vector(&self.picks)?);
        }
        input.mean_signal = place_signal(network, &self.signal)?;
        let open = vector(&self.open)?;
        input.read = Read::Rows(open.clone());
        Ok(Rows {
            input,
            open,
            evidence,
            targets: vector(&self.targets)?,
            weights: Tensor::from_slice(&self.weights, self.weights.len(), device)?,
            noisy: self.noisy,
            place: vector(&self.place)?,
        })
    }
}

impl SoftRows {
    fn draw(tokens: &[u32], levels: &Levels, embed: usize, noise: Noise, step: u64) -> Self {
        let at: Vec<usize> = (0..tokens.len()).filter(|i| is_soft(levels.snr[*i])).collect();
        let mut drawn = vec![0f32; at.len() * embed];
        drawn.par_chunks_mut(embed.max(1)).zip(&at).for_each(|(row, at)| {
            let mut stream = noise.stream(Purpose::Corrupt, step, *at as u64);
            let root = levels.snr[*at].sqrt();
            row.iter_mut()
                .for_each(|n| *n = root * <StandardNormal as Distribution<f32>>::sample(&StandardNormal, &mut stream));
        });
        Self {
            ids: at.iter().map(|at| tokens[*at]).collect(),
            snr: at.iter().map(|at| levels.snr[*at]).collect(),
            noise: drawn,
        }
    }

    /// Evidence `y = s e(x) + sqrt(s) n`. It is a constant of the graph: embeddings learn as classifiers and as clean
    /// inputs, not by moving the noisy state.
    fn place(&self, network: &Network, tables: &Tables) -> Result<Soft> {
        let (device, n) = (network.device(), self.ids.len());
        let ids = Tensor::from_slice(&self.ids, n, device)?;
        let clean = embedding(&ids, tables.head().tensor())?;
        let signal = clean.broadcast_mul(&Tensor::from_slice(&self.snr, (n, 1), device)?)?;
        let noise = Tensor::from_slice(&self.noise, (n, network.config().embed), device)?;
        Ok(Soft::new((signal + noise)?)?)
    }
}

/// The first `kept` of every `each` items.
fn keep<T: Copy>(items: &mut Vec<T>, kept: usize, each: usize) {
    *items = items.chunks(each).flat_map(|items| &items[..kept]).copied().collect();
}

fn is_soft(snr: f32) -> bool {
    snr > 0.0 && snr.is_finite()
}

/// Mean signal of levels (`[batch * len]`) for the rows of a pass, if the network reads it.
pub(crate) fn pass_signal(network: &Network, levels: &Levels, len: usize) -> Result<Option<Tensor>> {
    place_signal(network, &mean_signal(levels, len))
}

fn place_signal(network: &Network, signal: &[f32]) -> Result<Option<Tensor>> {
    let wanted = network.config().noise_conditioning;
    let place = || Tensor::from_slice(signal, (signal.len(), 1), network.device());
    Ok(wanted.then(place).transpose()?)
}

/// `alpha^2` at a signal-to-noise ratio.
fn signal(snr: f32) -> f32 {
    if snr.is_finite() { snr / (1.0 + snr) } else { 1.0 }
}

fn mean_signal(levels: &Levels, len: usize) -> Vec<f32> {
    let mut all = Vec::with_capacity(2 * levels.snr.len());
    for levels in levels.snr.chunks(len.max(1)) {
        let mean = levels.iter().map(|snr| signal(*snr)).sum::<f32>() / len as f32;
        all.extend(std::iter::repeat_n(mean, len).chain(std::iter::repeat_n(1.0, len)));
    }
    all
}
