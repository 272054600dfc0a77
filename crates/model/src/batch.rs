//! The rows of one call of a network, put together on the host: the only place that knows how a row is written down.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use drdiff_attention::LayerPlans;
use drdiff_attention::retrieval::Units;
use drdiff_diffusion::Level;
use drdiff_kernels::embedding;
use drdiff_routing::{Groups, Read};

use crate::{Input, LastPrediction, Network, NetworkSpec, Result, Rows, Soft, Tables};

/// What the rows of a text see.
#[derive(Debug, Clone)]
pub struct Visible {
    /// Which committed positions, and which rows of the text in this call, each row sees, layer by layer.
    pub plan: LayerPlans,
    /// Which rows choose chunks together, if the network retrieves.
    pub units: Option<Arc<Units>>,
}

impl From<LayerPlans> for Visible {
    fn from(plan: LayerPlans) -> Self {
        Self { plan, units: None }
    }
}

/// The rows of one text in a batch.
#[derive(Debug, Clone)]
pub struct TokenSegment {
    /// The positions of the rows in the text, ascending or not.
    pub positions: Vec<i64>,
    /// What they see.
    pub visible: Visible,
    /// The rows, counted through the batch.
    pub rows: Range<usize>,
    /// Their groups for routed experts.
    pub groups: Range<usize>,
    /// The rows by what the network does with them, but for how often experts ran.
    pub counts: Rows,
}

/// What the network said of a position when it saw it last.
#[derive(Debug, Clone)]
pub struct LastRow {
    /// The data prediction, `[embed]`.
    pub x_hat: Vec<f64>,
    /// Its entropy as a share of the largest possible; 0 if no router reads it.
    pub entropy: f32,
}

/// A row of a block.
#[derive(Debug, Clone, Copy)]
pub struct BlockRow<'a> {
    /// How much is known of its token.
    pub level: Level,
    /// The token, if it is known.
    pub token: Option<u32>,
    /// Evidence, `[embed]`, of a soft row.
    pub evidence: &'a [f64],
    /// Whether its logits are wanted.
    pub asked: bool,
    /// What the network is told again.
    pub last: Option<&'a LastRow>,
}

/// Evidence of soft rows: `rest`, `[soft, embed]`, and, where tokens are given, `snr` times their unit rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct SoftRows {
    pub(crate) ids: Vec<u32>,
    pub(crate) snr: Vec<f32>,
    pub(crate) rest: Vec<f32>,
}

impl SoftRows {
    /// The evidence is a constant of the graph: embeddings learn as classifiers and as clean inputs, not by moving the noisy
    /// state.
    fn place(&self, embed: usize, tables: &Tables, device: &Device) -> Result<Soft> {
        let n = self.rest.len() / embed.max(1);
        let rest = Tensor::from_slice(&self.rest, (n, embed), device)?;
        if self.ids.is_empty() {
            return Soft::new(rest);
        }
        let clean = embedding(&Tensor::from_slice(&self.ids, n, device)?, tables.head().tensor())?;
        let signal = clean.broadcast_mul(&Tensor::from_slice(&self.snr, (n, 1), device)?)?;
        Soft::new((signal + rest)?)
    }
}

/// The rows of one call of a network, text after text: each is a token, absorbed, or soft with its evidence, has a position in
/// its text, sees what its segment says, may be asked for logits, and has a share of the routed experts' compute.
#[derive(Debug, Clone, Default)]
pub struct TokenBatch {
    vocab: usize,
    embed: usize,
    /// As in [`Input`].
    pub(crate) index: Vec<u32>,
    pub(crate) soft: SoftRows,
    /// The rows that are asked, in the order of the answers.
    pub(crate) asked: Vec<u32>,
    /// Last data predictions with their entropies, and for every row 0 or 1 + its place among them.
    data: Vec<f32>,
    entropy: Vec<f32>,
    place: Vec<u32>,
    /// Mean signal of the block of each row.
    pub(crate) signal: Vec<f32>,
    pub(crate) groups: Groups,
    segments: Vec<TokenSegment>,
    /// Whether mean predictions are wanted as well.
    pub wants_data: bool,
}

impl TokenBatch {
    /// A batch without rows for a network of `vocab` tokens and `embed` numbers of evidence.
    #[must_use]
    pub fn new(vocab: usize, embed: usize) -> Self {
        Self {
            vocab,
            embed,
            ..Self::default()
        }
    }

    /// One text that is read from its beginning by a network without routed experts: `index` are its tokens, or the vocabulary's
    /// size for absorbed positions; logits are asked at the rows `asked`. Nothing is said of its noise.
    #[must_use]
    pub fn text(spec: &NetworkSpec, index: &[u32], visible: Visible, asked: Range<usize>) -> Self {
        let mut batch = Self::new(spec.vocab, spec.embed);
        batch.segment(0, visible, |batch| {
            batch.index.extend_from_slice(index);
            batch.asked.extend(asked.map(|row| row as u32));
        });
        batch
    }

    /// The next text: `fill` adds its rows, of which the first stands at `position` of the text and the others behind it.
    pub fn segment(&mut self, position: i64, visible: Visible, fill: impl FnOnce(&mut Self)) -> &mut TokenSegment {
        let (row, group, asked) = (self.index.len(), self.groups.len(), self.asked.len());
        let (routed, conditioned) = (self.groups.members(), self.entropy.len());
        fill(self);
        let rows = row..self.index.len();
        let soft = |row: &&u32| self.soft_row(**row) > 0;
        let counts = Rows {
            all: rows.len(),
            open: self.asked.len() - asked,
            soft: self.asked[asked..].iter().filter(soft).count(),
            conditioned: self.entropy.len() - conditioned,
            routed: self.groups.members() - routed,
            ..Rows::default()
        };
        self.segments.push(TokenSegment {
            positions: (position..position + rows.len() as i64).collect(),
            visible,
            rows,
            groups: group..self.groups.len(),
            counts,
        });
        let last = self.segments.len() - 1;
        &mut self.segments[last]
    }

    /// A clean row outside blocks: a token, or `vocab` for one that is hidden.
    pub fn token(&mut self, token: u32) {
        self.index.push(token);
        self.place.push(0);
        self.signal.push(1.0);
        self.groups.settled(1);
    }

    /// Asks for the logits of the last row so far.
    pub fn ask(&mut self) {
        self.asked.extend(self.index.len().checked_sub(1).map(|row| row as u32));
    }

    /// A block, whose open rows may spend the share `budget` in `[0, 1]` of the routed experts' full compute.
    pub fn block<'a>(&mut self, rows: impl Iterator<Item = BlockRow<'a>> + Clone, budget: f64) {
        let signal = |level| match level {
            Level::Absorbed => 0.0,
            Level::Soft(snr) => snr / (1.0 + snr),
            Level::Anchor => 1.0,
        };
        let open: Vec<bool> = rows.clone().map(|row| row.level != Level::Anchor).collect();
        let mean = rows.clone().map(|row| signal(row.level)).sum::<f64>() / open.len() as f64;
        self.groups.block(&open, mean, budget);
        for row in rows {
            match (row.level, row.token) {
                (Level::Anchor, Some(token)) => self.index.push(token),
                (Level::Soft(_), _) => {
                    self.soft.rest.extend(row.evidence.iter().map(|y| *y as f32));
                    self.index.push((self.vocab + self.soft.rest.len() / self.embed) as u32);
                }
                _ => self.index.push(self.vocab as u32),
            }
            if row.asked {
                self.ask();
            }
            self.place.push(row.last.map_or(0, |last| {
                self.data.extend(last.x_hat.iter().map(|x| *x as f32));
                self.entropy.push(last.entropy);
                self.entropy.len() as u32
            }));
            self.signal.push(mean as f32);
        }
    }

    /// What each row enters as: a token, the vocabulary's size for an absorbed position, and more than that for a soft one.
    #[must_use]
    pub fn index(&self) -> &[u32] {
        &self.index
    }

    /// The rows whose logits are wanted, in the order of the answers.
    #[must_use]
    pub fn asked(&self) -> &[u32] {
        &self.asked
    }

    /// The texts.
    #[must_use]
    pub fn segments(&self) -> &[TokenSegment] {
        &self.segments
    }

    /// [`TokenBatch::segments`].
    #[must_use]
    pub fn into_segments(self) -> Vec<TokenSegment> {
        self.segments
    }

    /// 0, or 1 + the place of a row among the soft ones.
    fn soft_row(&self, row: u32) -> u32 {
        self.index[row as usize].saturating_sub(self.vocab as u32)
    }

    /// The rows where `network` is; soft ones read its `tables`.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub(crate) fn place(&self, network: &Network, tables: &Tables) -> Result<Input> {
        let (device, rows) = (network.device(), self.index.len());
        let vector = |values: &[u32]| Tensor::from_slice(values, values.len(), device);
        let mut input = Input::discrete(vector(&self.index)?);
        input.groups = self.groups.clone();
        input.read = match self.asked.len() {
            0 => Read::Nothing,
            // The way of single rows is that of rows that are named.
            many if many > 1 && (0..rows as u32).eq(self.asked.iter().copied()) => Read::All,
            _ => Read::Rows(vector(&self.asked)?),
        };
        if !self.soft.rest.is_empty() {
            input.soft = Some(self.soft.place(self.embed, tables, device)?);
            let picks: Vec<u32> = self.asked.iter().map(|row| self.soft_row(*row)).collect();
            input.picks = Some(vector(&picks)?);
        }
        if !self.entropy.is_empty() {
            let wanted = network.config().routing.reads_entropy();
            let entropy = || Tensor::from_slice(&self.entropy, self.entropy.len(), device);
            input.last = Some(LastPrediction {
                x_hat: Tensor::from_slice(&self.data, (self.entropy.len(), self.embed), device)?,
                entropy: wanted.then(entropy).transpose()?,
                place: Tensor::from_slice(&self.place, rows, device)?,
            });
        }
        if !self.signal.is_empty() {
            input.mean_signal = network.mean_signal(&self.signal)?;
        }
        Ok(input)
    }
}
