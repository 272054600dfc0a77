//! What the network reads, where it is: one table row for each position.

use candle_core::Tensor;
use drdiff_routing::{Groups, LastEntropy, Read};

use crate::Result;

/// Soft positions of a pass.
#[derive(Debug, Clone)]
pub struct Soft {
    /// Evidence `y` of the soft positions, `[soft, embed]` f32.
    pub evidence: Tensor,
    /// Logarithm of one plus the norm of each evidence vector, `[soft, 1]` f32: how much there is of it.
    pub strength: Tensor,
}

impl Soft {
    /// From evidence alone, `[soft, embed]` f32.
    ///
    /// # Errors
    /// If it is not a matrix.
    pub fn new(evidence: Tensor) -> Result<Self> {
        let strength = (evidence.sqr()?.sum_keepdim(1)?.sqrt()? + 1.0)?.log()?;
        Ok(Self { evidence, strength })
    }
}

/// What the network said about some rows when it saw them last: a constant of the graph.
#[derive(Debug, Clone)]
pub struct LastPrediction {
    /// Data predictions `x_hat`, `[predicted, embed]` f32.
    pub x_hat: Tensor,
    /// Their entropy as a share of the largest possible, `[predicted]` f32. Read by routers that want it.
    pub entropy: Option<Tensor>,
    /// For every row of the pass 0, or 1 + its place among the predictions, `[rows]` u32.
    pub place: Tensor,
}

impl LastPrediction {
    pub(crate) fn entropy(&self) -> Option<LastEntropy<'_>> {
        let place = &self.place;
        self.entropy.as_ref().map(|shares| LastEntropy { shares, place })
    }
}

/// The rows of a pass, all segments one after another.
///
/// `index[r]` is a token id for an anchor, `vocab` for an absorbed position, and `vocab + 1 + j` for the soft
/// position whose evidence is row `j` of [`Soft`].
#[derive(Debug, Clone)]
pub struct Input {
    /// `[rows]` u32, see above.
    pub index: Tensor,
    /// Evidence of the soft positions, if there are any.
    pub soft: Option<Soft>,
    /// For each row that is read 0, or 1 + its place among the soft positions, `[n]` u32: what [`crate::Network::posterior`] adds. None
    /// without soft positions.
    pub picks: Option<Tensor>,
    /// What was predicted last, if the network is to be conditioned on it.
    pub last: Option<LastPrediction>,
    /// Mean signal `alpha^2` of the block that each row belongs to, `[rows, 1]` f32 (1 for clean rows). Read only by
    /// networks with noise conditioning.
    pub mean_signal: Option<Tensor>,
    /// The rows whose evidence is wanted.
    pub read: Read,
    /// Blocks of the rows, their noise and what they may spend. Read only by networks with routed experts, which need it
    /// for all rows.
    pub groups: Groups,
}

impl Input {
    /// Rows that are absorbed or anchors only.
    pub fn discrete(index: Tensor) -> Self {
        Self {
            index,
            soft: None,
            picks: None,
            last: None,
            mean_signal: None,
            read: Read::All,
            groups: Groups::default(),
        }
    }

    /// The same pass, of which the evidence of `rows` alone is wanted, `[n]` u32.
    #[must_use]
    pub fn reading(mut self, rows: Tensor) -> Self {
        self.read = Read::Rows(rows);
        self
    }
}
