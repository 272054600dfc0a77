//! What the next pass reads of a sequence.

use drdiff_model::Visible;

use crate::drafts::DraftRows;

/// The rows that a sequence has in the next pass, and what they read.
pub(crate) struct StepPlan {
    /// Clean tokens first, ...
    pub(crate) clean: Vec<u32>,
    /// The same without the prompt, for guidance.
    pub(crate) unprompted: Option<Vec<u32>>,
    /// ... then what is predicted.
    pub(crate) predicts: Predicts,
    pub(crate) visible: Visible,
}

/// What a pass predicts of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Predicts {
    /// Nothing yet: the prompt takes more than this pass.
    Nothing,
    /// The open positions of the block, which has rows of its own.
    Block,
    /// The one position of the block, from the row of the token before it.
    NextToken,
    /// What is drafted and what was, where drafts lie behind the clean tokens of the text.
    Drafts(DraftRows),
}

impl StepPlan {
    /// The clean tokens as they are and, under guidance, without the prompt.
    pub(crate) fn views(&self) -> impl Iterator<Item = &Vec<u32>> {
        std::iter::once(&self.clean).chain(&self.unprompted)
    }
}
