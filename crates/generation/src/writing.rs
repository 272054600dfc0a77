//! The part of a sequence that the next pass is about.

use crate::block::Block;
use crate::drafts::Drafts;

/// How a sequence is written.
pub(crate) enum Writing {
    /// Block after block.
    Block(Box<Block>),
    /// By draft and check.
    Drafts(Box<Drafts>),
}

impl Writing {
    /// Blocks before this one; of drafts the passes that decided tokens.
    pub(crate) fn number(&self) -> usize {
        match self {
            Self::Block(block) => block.number,
            Self::Drafts(drafts) => drafts.number,
        }
    }

    /// Steps of the block so far.
    pub(crate) fn step(&self) -> usize {
        match self {
            Self::Block(block) => block.run.nfe(),
            Self::Drafts(_) => 0,
        }
    }

    /// The block as it is; of drafts, what the last pass decided and the places of those that wait.
    pub(crate) fn canvas(&self) -> Vec<Option<u32>> {
        match self {
            Self::Block(block) => block.run.state().tokens.clone(),
            Self::Drafts(drafts) => {
                let waiting = drafts.run.drafts().map(|_| None);
                drafts.decided.iter().copied().map(Some).chain(waiting).collect()
            }
        }
    }

    /// The drafts, if there are any.
    pub(crate) fn drafts(&self) -> Option<&Drafts> {
        match self {
            Self::Block(_) => None,
            Self::Drafts(drafts) => Some(drafts),
        }
    }

    /// The block, if there is one.
    pub(crate) fn block(&self) -> Option<&Block> {
        match self {
            Self::Block(block) => Some(block),
            Self::Drafts(_) => None,
        }
    }
}
