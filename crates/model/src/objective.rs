//! What a network learns from: noised rows to a loss.

use std::sync::Arc;

use candle_core::Tensor;
use drdiff_attention::retrieval::Units;
use drdiff_attention::{LayerPlans, Segment};
use drdiff_kernels::{Rotary, Tape, Taught, Value, mixture, mixture_with_entropy};
use drdiff_routing::{ComputeReport, Routing};

use crate::{DenoisingNetwork, LastPrediction, Network, NoisedBatch, Result};

/// Where the parts of a pass meet: the plan and rotations of its rows, `[noisy | clean]` or alone.
pub struct Layout<'a> {
    /// Who sees whom among the rows of a sequence.
    pub plan: LayerPlans,
    /// Which rows choose chunks together, if the network retrieves.
    pub units: Option<Arc<Units>>,
    /// Rotations of those rows; both halves hold the same positions.
    pub rotary: &'a Rotary,
}

impl Layout<'_> {
    /// The segment of `sequences` sequences of `len` rows.
    #[must_use]
    pub fn segment(&self, sequences: usize, len: usize) -> Segment<'_> {
        Segment {
            batch: sequences,
            len,
            plan: self.plan.clone(),
            units: self.units.clone(),
            rotary: self.rotary,
            past: None,
        }
    }
}

/// What a pass costs, as a scalar to learn from and position by position.
#[derive(Debug)]
pub struct Loss {
    /// Cross-entropy of the open positions and of next tokens, their weighted mean; with a teacher, of its share in them.
    pub value: Value,
    /// Cross-entropy of each open position in nats, then of each next token, `[open]` f32.
    pub nats: Tensor,
    /// Weighted mean of those of the open positions alone, a scalar.
    pub noisy: Tensor,
    /// Mean of those of next tokens, a scalar; `None` if none is predicted.
    pub next_token: Option<Tensor>,
    /// What the routed experts' routers add, a scalar; `None` without them.
    pub aux: Option<Value>,
    /// The layers in which a routed expert ran, with what their routers decided.
    pub routings: Vec<(usize, Routing)>,
}

impl Loss {
    /// What is learned from: cross-entropy and auxiliary loss.
    ///
    /// # Errors
    /// If an operation fails.
    pub fn objective(&self) -> Result<Value> {
        match &self.aux {
            Some(aux) => Ok(self.value.add(aux)?),
            None => Ok(self.value.clone()),
        }
    }
}

/// A network that learns to predict the tokens of noised rows.
pub trait TrainableNetwork: DenoisingNetwork {
    /// Cross-entropy of the open positions, averaged with their weights (see [`drdiff_diffusion::Levels`]); recorded if there is a `tape`.
    ///
    /// With `self_condition` the network first predicts without, and reads that prediction and its entropy, detached
    /// (Chen et al., arXiv 2208.04202; probability as in LangFlow, arXiv 2604.11748). What is `taught` is a share of the targets.
    ///
    /// # Errors
    /// If the network knows no masks, or shapes do not fit.
    fn loss(
        &self,
        batch: &NoisedBatch,
        layout: &Layout<'_>,
        self_condition: bool,
        taught: Option<&Taught>,
        tape: Option<&Tape>,
    ) -> Result<Loss>;
}

impl TrainableNetwork for Network {
    fn loss(
        &self,
        batch: &NoisedBatch,
        layout: &Layout<'_>,
        self_condition: bool,
        taught: Option<&Taught>,
        tape: Option<&Tape>,
    ) -> Result<Loss> {
        let tables = self.tables(tape)?;
        let mut rows = batch.place(self, &tables)?;
        let mut report = ComputeReport::default();
        if self_condition {
            let (_, evidence) = rows.run(self, &tables.detached(), layout, &mut report)?;
            let (h, unit) = (evidence.tensor(), tables.head().tensor());
            let place = rows.place.clone();
            let (x_hat, entropy) = match self.config().routing.reads_entropy() {
                true => {
                    let (x_hat, entropy) = mixture_with_entropy(h, unit, self.bias())?;
                    (x_hat, Some(entropy))
                }
                false => (mixture(h, unit, self.bias())?, None),
            };
            rows.input.last = Some(LastPrediction { x_hat, entropy, place });
        }
        let (hidden, evidence) = rows.run(self, &tables, layout, &mut report)?;
        let head = match tape {
            Some(_) => tables.head().clone(),
            // A network that only reads may keep its table in few bits, and none in `tables`.
            None => Value::constant(&self.head_rows()?),
        };
        let (value, nats) = evidence.cross_entropy(&head, self.bias(), &rows.targets, &rows.weights, taught)?;
        let next_tokens = nats.dim(0)? - rows.noisy;
        let next_token = match next_tokens {
            0 => None,
            count => Some(nats.narrow(0, rows.noisy, count)?.mean_all()?),
        };
        let noisy = match next_tokens == 0 && taught.is_none() {
            true => value.tensor().clone(),
            false => (nats.narrow(0, 0, rows.noisy)? * rows.weights.narrow(0, 0, rows.noisy)?)?.sum_all()?,
        };
        Ok(Loss {
            value,
            nats,
            noisy,
            next_token,
            aux: hidden.aux_loss()?,
            routings: hidden.into_routings(),
        })
    }
}
