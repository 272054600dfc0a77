//! What can go wrong while writing text.

use drdiff_attention::{Error as AttentionError, PlanKind};
use drdiff_model::Error as ModelError;

use crate::Choices;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A length that the model cannot serve.
    #[error("{what} of {asked} {problem}; {remedy}")]
    Length {
        /// What was asked for.
        what: &'static str,
        /// How much of it.
        asked: usize,
        /// Why it is impossible.
        problem: String,
        /// What to do instead.
        remedy: String,
    },
    /// Something that the model cannot do.
    #[error("this model cannot serve the request: {what}; {remedy}")]
    Incapable {
        /// Why not.
        what: String,
        /// What to do instead.
        remedy: String,
    },
    /// A gap that no token fits into.
    #[error("a gap of [[0]] tokens has no room; give it at least 1")]
    EmptyGap,
    /// A text to fill without a gap.
    #[error("the text has no gap to fill; write [[8]] where 8 tokens are wanted")]
    NoGap,
    /// A text to go on from or to fill that is no text.
    #[error("the text holds a NUL character, as text in UTF-16 does that is read as UTF-8; give it in UTF-8")]
    Nul,
    /// A stop string that is found everywhere.
    #[error("a stop string is empty; leave it out, or write the text at which to stop")]
    EmptyStop,
    /// Steps that an absorbing block cannot use.
    #[error(
        "{steps} steps are more than an absorbing block of {block_size} can use, for each commits a token; give at most {block_size}, or a larger block"
    )]
    IdleSteps {
        /// Steps that write a block.
        steps: usize,
        /// Positions of a block.
        block_size: usize,
    },
    /// A text that cannot be drafted and checked.
    #[error("the commit schedule `verified` {problem}; {remedy}")]
    Verified {
        /// What it cannot do.
        problem: &'static str,
        /// What to do instead.
        remedy: &'static str,
    },
    /// A setting whose value cannot be.
    #[error("{0}; write another value")]
    Setting(String),
    /// A weight of guidance that is no number.
    #[error("the style guidance is {0}; give a number, 1 for none")]
    StyleGuidance(f64),
    /// A share of the compute that makes no sense, or that the network cannot serve.
    #[error("{0}")]
    Compute(String),
    /// The tokenizer belongs to another network.
    #[error("the tokenizer has {has} tokens, the network {needs}; use the tokenizer that the network was trained with")]
    Vocabulary {
        /// Tokens of the tokenizer.
        has: usize,
        /// Tokens of the network.
        needs: usize,
    },
    /// A prompt holds a token that the model does not know.
    #[error(
        "the prompt holds the token {token}, and the model knows {vocab}; encode it with the model's own tokenizer"
    )]
    UnknownToken {
        /// The id.
        token: u32,
        /// Size of the model's vocabulary.
        vocab: usize,
    },
    /// A plan that the weights were not trained for.
    #[error(
        "the model attends by the plan `{}` and cannot by `{}`; leave the attention plan to the model", has.name(), asked.name()
    )]
    Plan {
        /// What was asked for.
        asked: PlanKind,
        /// The plan of the model.
        has: PlanKind,
    },
    /// The network's numbers are not usable.
    #[error(
        "the network gave logits that are not numbers (request {request}, block {block}, step {step}, seed {seed}); the weights are probably damaged: fetch them again"
    )]
    NotANumber {
        /// The request.
        request: u64,
        /// Its block, counted from 0.
        block: usize,
        /// The step in the block, counted from 0.
        step: usize,
        /// The request's seed.
        seed: u64,
    },
    /// The network's numbers are not usable, for a text that is only read.
    #[error("the network gave logits that are not numbers; the weights are probably damaged: fetch them again")]
    Damaged,
    /// The sampler refused its settings.
    #[error(transparent)]
    Solver(#[from] drdiff_solver::Error),
    /// The network failed.
    #[error(transparent)]
    Model(#[from] drdiff_model::Error),
    /// An attention plan could not be made.
    #[error(transparent)]
    Attention(#[from] drdiff_attention::Error),
    /// An operation failed.
    #[error(transparent)]
    Kernels(#[from] drdiff_kernels::Error),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// Whether the request is to blame, so that others can still be served: all that is said of lengths, names and numbers. A
    /// model, a device or a disk that fails would fail for the others too; so would an attention plan that the request has not
    /// named in its `choices`.
    #[must_use]
    pub fn is_of_request(&self, choices: &Choices) -> bool {
        match self {
            Self::Vocabulary { .. } | Self::Kernels(_) | Self::Tensor(_) => false,
            Self::Plan { .. } => choices.get("attention").is_some(),
            Self::Model(ModelError::Attention(error)) | Self::Attention(error) => match error {
                AttentionError::Kernels(_) | AttentionError::Tensor(_) => false,
                AttentionError::BlockSize { .. }
                | AttentionError::TreeBlocks { .. }
                | AttentionError::CacheFull { .. } => true,
                _ => choices.get("attention").is_some(),
            },
            Self::Model(error) => matches!(error, ModelError::Tokenizer(_)),
            _ => true,
        }
    }
}

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
