//! What the network reads: one table row for each position.

use candle_core::Tensor;
use drdiff_routing::Groups;

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
    /// The previous data prediction `x_hat` for some rows: `[predicted, embed]` and, for every row of the pass, the
    /// row of it (0 means none, `j + 1` means row `j`), `[rows]` u32.
    pub self_condition: Option<(Tensor, Tensor)>,
    /// Mean signal `alpha^2` of the block that each row belongs to, `[rows, 1]` f32 (1 for clean rows). Read only by
    /// networks with noise conditioning.
    pub mean_signal: Option<Tensor>,
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
            self_condition: None,
            mean_signal: None,
            groups: Groups::default(),
        }
    }
}
