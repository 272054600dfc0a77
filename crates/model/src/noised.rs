//! From tokens and levels to the rows of a pass that is learned from: first on the host, ahead of time, then on the device.

use candle_core::Tensor;
use drdiff_diffusion::Levels;
use drdiff_kernels::Value;
use drdiff_noise::{Noise, Purpose};
use drdiff_routing::{ComputeReport, Groups, Read};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::batch::SoftRows;
use crate::{Error, Hidden, Input, Layout, Mask, Network, Result, Tables, TokenBatch};

/// Sequences of one pass, corrupted and laid out as `[noisy | clean]` or alone, on the host.
#[derive(Debug, Clone)]
pub struct NoisedBatch {
    /// Sequences.
    pub(crate) sequences: usize,
    /// Text positions of each.
    pub len: usize,
    /// Rows of each: twice its positions, or as many.
    pub each: usize,
    /// The rows, of which the open ones are asked.
    rows: TokenBatch,
    /// For each row of the pass: 0, or 1 + its place among the open rows.
    place: Vec<u32>,
    targets: Vec<u32>,
    /// Loss weights of the open rows; they sum to one.
    weights: Vec<f32>,
    /// What those of the noisy half summed to before.
    weight: f32,
    /// Open rows of the noisy half; those behind them are of the clean half, and predict next tokens.
    noisy: usize,
}

/// A [`NoisedBatch`] where the network is.
#[derive(Clone)]
pub struct NoisedInput {
    /// Sequences, ...
    sequences: usize,
    /// ... their text positions, ...
    len: usize,
    /// ... and their rows.
    each: usize,
    /// The rows.
    pub input: Input,
    /// Rows of the pass that are predicted, `[open]` u32; a pass may read fewer.
    pub open: Tensor,
    /// Their tokens, `[open]` u32.
    pub targets: Tensor,
    /// Their weights in the loss, `[open]` f32.
    pub weights: Tensor,
    /// How many of them are of the noisy half, the first ones.
    pub noisy: usize,
    /// For each row of the pass: 0, or 1 + its place among the open rows, `[rows]` u32.
    pub place: Tensor,
}

impl NoisedBatch {
    /// Corrupts `sequences` of `tokens` to their `levels` (both `[sequences * len]`) for a network of `vocab` tokens
    /// and `embed` numbers of evidence. The noise of the soft positions depends on its key, `step` and position alone.
    #[must_use]
    pub fn new(
        tokens: &[u32],
        levels: &Levels,
        sequences: usize,
        (vocab, embed): (usize, usize),
        (noise, step): (Noise, u64),
    ) -> Self {
        let len = tokens.len() / sequences.max(1);
        let mut rows = TokenBatch::new(vocab, embed);
        rows.soft = draw(tokens, levels, embed, noise, step);
        rows.signal = mean_signal(levels, len);
        let mut place = vec![0; 2 * tokens.len()];
        let (mut targets, mut weights) = (Vec::new(), Vec::new());
        let mut soft_seen = 0;
        for b in 0..sequences {
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
                    rows.ask();
                    place[row] = rows.asked.len() as u32;
                    targets.push(*token);
                    weights.push(levels.weight[i]);
                }
            }
            rows.index.extend_from_slice(&tokens[sequence]);
        }
        let weight: f32 = weights.iter().sum();
        let share = weight.max(f32::MIN_POSITIVE).recip();
        weights.iter_mut().for_each(|weight| *weight *= share);
        Self {
            sequences,
            len,
            each: 2 * len,
            noisy: targets.len(),
            rows,
            place,
            targets,
            weights,
            weight,
        }
    }

    /// Lets the rows of the clean half predict the tokens behind them, but for the ends of documents (`end_of_text`), which say
    /// nothing of what comes next: their mean cross-entropy counts `share` times that of the noisy half. To be called last.
    #[must_use]
    pub fn with_next_tokens(mut self, tokens: &[u32], end_of_text: u32, share: f64) -> Self {
        let clean = self.each - self.len;
        let begin = self.targets.len();
        for (sequence, tokens) in tokens.chunks(self.len.max(1)).enumerate() {
            let row = sequence * self.each + clean;
            for (at, pair) in tokens.windows(2).enumerate().filter(|(_, pair)| pair[0] != end_of_text) {
                self.rows.asked.push((row + at) as u32);
                self.targets.push(pair[1]);
            }
        }
        let count = self.targets.len() - begin;
        self.weights
            .resize(self.targets.len(), (share / count.max(1) as f64) as f32);
        self
    }

    /// Text position of each open row, counted through all sequences.
    pub fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        let of = |row: &u32| {
            let (sequence, at) = (*row as usize / self.each, *row as usize % self.each);
            sequence * self.len + at % self.len
        };
        self.rows.asked.iter().map(of)
    }

    /// Open rows of the noisy half, which come first.
    #[must_use]
    pub fn noisy(&self) -> usize {
        self.noisy
    }

    /// What the targets weigh together: of the passes of a step each counts by it.
    #[must_use]
    pub fn weight(&self) -> f64 {
        f64::from(self.weight)
    }

    /// The noisy half alone, for blocks that are the whole window: their noisy rows see nothing of the clean half. To be
    /// called before [`NoisedBatch::in_blocks`].
    #[must_use]
    pub fn alone(mut self) -> Self {
        let (len, each) = (self.len, self.each);
        for rows in [&mut self.rows.index, &mut self.place] {
            keep(rows, len, each);
        }
        keep(&mut self.rows.signal, len, each);
        for row in &mut self.rows.asked {
            let (sequence, at) = (*row as usize / each, *row as usize % each);
            *row = (sequence * len + at) as u32;
        }
        self.each = len;
        self
    }

    /// Absorbs the first tokens of each sequence, as many as `lengths` says, in the clean half as well.
    pub fn hide(&mut self, lengths: &[usize], vocab: usize) {
        for (rows, hidden) in self.rows.index.chunks_mut(self.each).zip(lengths) {
            rows[self.each - self.len..][..*hidden].fill(vocab as u32);
        }
    }

    /// Tells routed experts to which block of `block_size` positions each row belongs: its open positions may spend the
    /// share `budget` of the experts' full compute, anchors and the clean half none. `levels` are those of
    /// [`NoisedBatch::new`].
    #[must_use]
    pub fn in_blocks(mut self, levels: &Levels, block_size: usize, budget: f64) -> Self {
        let groups = &mut self.rows.groups;
        *groups = Groups::default();
        for sequence in levels.snr.chunks(self.len.max(1)) {
            for block in sequence.chunks(block_size.max(1)) {
                let open: Vec<bool> = block.iter().map(|snr| snr.is_finite()).collect();
                let mean = block.iter().map(|snr| f64::from(signal(*snr))).sum::<f64>() / block.len() as f64;
                groups.block(&open, mean, budget);
            }
            groups.settled(self.each - sequence.len());
        }
        self
    }

    /// Puts the rows where the network is, which has to know masks. Soft ones read its `tables`.
    ///
    /// # Errors
    /// [`Error::NoMasks`], or if a tensor operation fails.
    pub fn place(&self, network: &Network, tables: &Tables) -> Result<NoisedInput> {
        if network.config().mask == Mask::Absent {
            return Err(Error::NoMasks);
        }
        let device = network.device();
        let vector = |values: &[u32]| Tensor::from_slice(values, values.len(), device);
        let open = vector(&self.rows.asked)?;
        let mut input = self.rows.place(network, tables)?;
        input.read = Read::Rows(open.clone());
        Ok(NoisedInput {
            sequences: self.sequences,
            len: self.len,
            each: self.each,
            input,
            open,
            targets: vector(&self.targets)?,
            weights: Tensor::from_slice(&self.weights, self.weights.len(), device)?,
            noisy: self.noisy,
            place: vector(&self.place)?,
        })
    }
}

impl NoisedInput {
    /// Runs `network` over the rows: what its blocks made of them, and evidence `y + g` at those that are read.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn run(
        &self,
        network: &Network,
        tables: &Tables,
        layout: &Layout<'_>,
        report: &mut ComputeReport,
    ) -> Result<(Hidden, Value)> {
        let mut segments = [layout.segment(self.sequences, self.each)];
        let hidden = network.hidden(tables, &self.input, &mut segments, report)?;
        let evidence = network.posterior(&hidden, &self.input)?;
        Ok((hidden, evidence))
    }

    /// Tells a network that reads them of other `levels` of the rows.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn move_to(&mut self, network: &Network, levels: &Levels) -> Result<()> {
        self.input.mean_signal = network.mean_signal(&mean_signal(levels, self.len))?;
        Ok(())
    }
}

/// Evidence `y = s e(x) + sqrt(s) n` of the soft positions.
fn draw(tokens: &[u32], levels: &Levels, embed: usize, noise: Noise, step: u64) -> SoftRows {
    let at: Vec<usize> = (0..tokens.len()).filter(|i| is_soft(levels.snr[*i])).collect();
    let mut drawn = vec![0f32; at.len() * embed];
    drawn.par_chunks_mut(embed.max(1)).zip(&at).for_each(|(row, at)| {
        let mut stream = noise.stream(Purpose::Corrupt, step, *at as u64);
        let root = levels.snr[*at].sqrt();
        row.iter_mut()
            .for_each(|n| *n = root * <StandardNormal as Distribution<f32>>::sample(&StandardNormal, &mut stream));
    });
    SoftRows {
        ids: at.iter().map(|at| tokens[*at]).collect(),
        snr: at.iter().map(|at| levels.snr[*at]).collect(),
        rest: drawn,
    }
}

/// The first `kept` of every `each` items.
fn keep<T: Copy>(items: &mut Vec<T>, kept: usize, each: usize) {
    *items = items.chunks(each).flat_map(|items| &items[..kept]).copied().collect();
}

fn is_soft(snr: f32) -> bool {
    snr > 0.0 && snr.is_finite()
}

/// `alpha^2` at a signal-to-noise ratio.
fn signal(snr: f32) -> f32 {
    if snr.is_finite() { snr / (1.0 + snr) } else { 1.0 }
}

/// Mean of `alpha^2 = s / (1 + s)` of `levels` (`[sequences * len]`) over each sequence, for all rows of its noisy half, and 1 for those
/// of the clean half, `[sequences * 2 len]`.
fn mean_signal(levels: &Levels, len: usize) -> Vec<f32> {
    let mut all = Vec::with_capacity(2 * levels.snr.len());
    for levels in levels.snr.chunks(len.max(1)) {
        let mean = levels.iter().map(|snr| signal(*snr)).sum::<f32>() / len as f32;
        all.extend(std::iter::repeat_n(mean, len).chain(std::iter::repeat_n(1.0, len)));
    }
    all
}
