//! What a request puts into a pass of the network.

use std::ops::Range;
use std::sync::Arc;

use drdiff_attention::Reads;
use drdiff_attention::retrieval::Units;

/// What a job puts into the next pass.
pub(crate) struct Part {
    /// Clean tokens first, ...
    pub(crate) clean: Vec<u32>,
    /// The same without the prompt, for guidance.
    pub(crate) unprompted: Option<Vec<u32>>,
    /// ... then what is predicted.
    pub(crate) predicts: Predicts,
    pub(crate) plan: Plan,
}

/// What a pass predicts of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Predicts {
    /// Nothing yet: the prompt takes more than this pass.
    Nothing,
    /// The open positions of the block, which has rows of its own.
    Block,
    /// The one position of the block, from the row of the token before it.
    NextToken,
}

/// What the rows of a pass read.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) reads: Reads,
    /// The blocks of the rows.
    pub(crate) blocks: Arc<[Range<usize>]>,
    /// Which rows choose chunks together, if the network retrieves.
    pub(crate) units: Option<Arc<Units>>,
}

impl Part {
    /// The clean tokens as they are and, under guidance, without the prompt.
    pub(crate) fn views(&self) -> impl Iterator<Item = &Vec<u32>> {
        std::iter::once(&self.clean).chain(&self.unprompted)
    }
}
