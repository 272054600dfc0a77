//! What an engine tells its driver.

use drdiff_solver::{DraftCounts, StepReport};
use serde::Serialize;

use crate::{Error, PassCompute, RoutedCompute};

/// Why a text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model ended it.
    End,
    /// It has as many tokens as were asked for.
    Length,
    /// A stop string came up.
    Stop,
}

impl StopReason {
    /// The word for it in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Length => "length",
            Self::Stop => "stop",
        }
    }

    /// OpenAI's word for it, which does not tell who ended the text.
    #[must_use]
    pub fn finish_reason(self) -> &'static str {
        match self {
            Self::End | Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// A finished text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Output {
    /// The written text, without the prompt and the space that it may end in; for infilling the whole text.
    pub text: String,
    /// Its token ids, without end-of-text; a token that is cut by a stop string is left out.
    pub ids: Vec<u32>,
    /// Network passes that the request took part in; under guidance each counts twice.
    pub nfe: usize,
    /// Tokens committed, including any behind the end of the text.
    pub committed_tokens: usize,
    /// Positions that were denoised, summed over passes.
    pub canvas_tokens: usize,
    /// Floating-point operations of the network for this text: all passes, linear maps and attention (see
    /// [`drdiff_model::Rows`] for what counts).
    pub flops: u64,
    /// The part of them that scores landmarks; 0 for a model that does not retrieve. A block of one that does costs the
    /// same wherever it stands, but for this.
    pub scoring_flops: u64,
    /// The feed-forward halves' part of them, and what it was spent on.
    pub routed: RoutedCompute,
    /// How its drafts fared, if it was drafted and checked.
    pub drafts: Option<DraftCounts>,
    /// Why it ended.
    pub stop: StopReason,
}

/// Something happened to a request. Committed text never changes again; provisional text may.
#[derive(Debug)]
pub enum Event {
    /// A network pass denoised the current block by one step.
    Pass {
        /// The request.
        request: u64,
        /// Block, counted from 0; where drafts are checked, passes that did so before.
        block: usize,
        /// Step in the block, counted from 0.
        step: usize,
        /// Network passes so far.
        nfe: usize,
        /// Tokens of the block as far as they are committed; behind tokens that a check decided, the places of drafts that wait for theirs.
        canvas: Vec<Option<u32>>,
        /// What the step did; positions are those of the block.
        report: StepReport,
        /// What the pass cost this request.
        compute: PassCompute,
        /// The chunks of 64 positions, counted from the start of the text, that the block retrieved in each layer that
        /// retrieves; empty for a model without such layers.
        retrieved: Vec<Vec<usize>>,
    },
    /// A block is written; `text` continues the committed text.
    BlockCommitted {
        /// The request.
        request: u64,
        /// Block, counted from 0.
        block: usize,
        /// New committed text (whole characters only).
        text: String,
        /// Tokens committed so far.
        tokens: usize,
    },
    /// A text is complete.
    Finished {
        /// The request.
        request: u64,
        /// The text and its statistics.
        output: Output,
    },
    /// A request failed; others go on.
    Failed {
        /// The request.
        request: u64,
        /// Why.
        error: Error,
    },
}
