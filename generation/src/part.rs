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
    /// ... then the block, unless the prompt takes more than this pass.
    pub(crate) block: bool,
    pub(crate) plan: Plan,
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
