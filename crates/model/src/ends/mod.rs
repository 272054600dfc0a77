//! How tokens enter the network and leave it.

mod evidence;
mod tokens;

use candle_core::{DType, Tensor};
use drdiff_kernels::{Builder, Tape, Value};

use crate::{Head, Input, ModelConfig, Result, Tables};
use evidence::EvidenceEnds;
use tokens::TokenEnds;

/// Both ends of a network.
pub(crate) enum Ends {
    /// Unit rows, of which soft positions are evidence.
    Evidence(EvidenceEnds),
    /// Rows of the residual stream's width.
    Tokens(TokenEnds),
}

impl Ends {
    /// Builds or loads the ends of a network that computes in `dtype`.
    pub(crate) fn new(builder: &Builder, config: &ModelConfig, dtype: DType) -> Result<Self> {
        Ok(match config.head {
            Head::Evidence => Self::Evidence(EvidenceEnds::new(builder, config, dtype)?),
            Head::Tied | Head::Separate => Self::Tokens(TokenEnds::new(builder, config, dtype)?),
        })
    }

    /// The tables that passes read; for a network that does not learn (`frozen`) only those that are read often.
    pub(crate) fn tables(&self, tape: Option<&Tape>, frozen: bool) -> Result<Tables> {
        match self {
            Self::Evidence(ends) => ends.tables(tape),
            Self::Tokens(ends) => ends.tables(tape, frozen),
        }
    }

    /// What enters the first block, `[rows, width]`.
    pub(crate) fn embed(&self, tables: &Tables, input: &Input) -> Result<Value> {
        match self {
            Self::Evidence(ends) => ends.embed(tables, input),
            Self::Tokens(ends) => ends.embed(tables, input),
        }
    }

    /// What the network says of the rows of its last stream, normed, `[n, width]`: `[n, embed]`.
    pub(crate) fn evidence(&self, normed: Value) -> Result<Value> {
        match self {
            Self::Evidence(ends) => ends.evidence(&normed),
            Self::Tokens(_) => Ok(normed),
        }
    }

    /// Logits `[n, vocab]` f32 of evidence, `[n, embed]`.
    pub(crate) fn logits(&self, evidence: &Tensor, tables: Option<&Tables>) -> Result<Tensor> {
        match self {
            Self::Evidence(ends) => ends.logits(evidence, tables),
            Self::Tokens(ends) => ends.logits(evidence),
        }
    }

    /// Rows whose products with evidence are logits, `[vocab, embed]` f32.
    pub(crate) fn rows(&self) -> Result<Tensor> {
        match self {
            Self::Evidence(ends) => ends.unit_embeddings(),
            Self::Tokens(ends) => ends.rows(),
        }
    }

    /// Added to the logits, `[vocab]` f32.
    pub(crate) fn bias(&self) -> &Tensor {
        match self {
            Self::Evidence(ends) => ends.bias(),
            Self::Tokens(ends) => ends.bias(),
        }
    }
}
