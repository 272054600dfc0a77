//! One forward pass of training: corrupted rows to a loss.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use drdiff_attention::retrieval::Units;
use drdiff_attention::{LayerPlans, Segment};
use drdiff_kernels::{Rotary, Tape, Taught, Value, embedding, mixture, mixture_with_entropy};
use drdiff_model::{Hidden, LastPrediction, Network, Tables};
use drdiff_routing::ComputeReport;

use crate::rows::Rows;
use crate::{Corrupted, Result, RoutingLoad};

/// Where the parts of a pass meet: the plan and rotations of its rows, `[noisy | clean]` or alone.
pub struct Layout<'a> {
    /// Who sees whom among the rows of a sequence.
    pub plan: LayerPlans,
    /// Which rows choose chunks together, if the network retrieves.
    pub units: Option<Arc<Units>>,
    /// Rotations of those rows; both halves hold the same positions.
    pub rotary: &'a Rotary,
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
    /// What the routers did.
    pub load: RoutingLoad,
}

impl Loss {
    /// What is learned from: cross-entropy and auxiliary loss.
    ///
    /// # Errors
    /// If an operation fails.
    pub fn objective(&self) -> Result<Value> {
        both(&self.value, self.aux.as_ref())
    }
}

fn both(value: &Value, aux: Option<&Value>) -> Result<Value> {
    aux.map_or_else(|| Ok(value.clone()), |aux| Ok(value.add(aux)?))
}

/// What came of a pass.
pub(crate) struct Learned {
    /// The loss that is told, a scalar.
    pub(crate) value: Tensor,
    /// That of next tokens, a scalar.
    pub(crate) next_token: Option<Tensor>,
    /// What is learned from: that, and what routers add.
    pub(crate) objective: Value,
    /// What routers did.
    pub(crate) load: RoutingLoad,
}

impl Learned {
    pub(crate) fn new(value: &Value, aux: Option<&Value>, load: RoutingLoad) -> Result<Self> {
        Ok(Self {
            value: value.tensor().clone(),
            next_token: None,
            objective: both(value, aux)?,
            load,
        })
    }
}

impl TryFrom<Loss> for Learned {
    type Error = crate::Error;

    fn try_from(loss: Loss) -> Result<Self> {
        Ok(Self {
            objective: loss.objective()?,
            value: loss.noisy,
            next_token: loss.next_token,
            load: loss.load,
        })
    }
}

/// Cross-entropy of the open positions, averaged with their weights (see [`drdiff_diffusion::Levels`]); recorded if there is a `tape`.
///
/// With `self_condition` the network first predicts without, and reads that prediction and its entropy, detached
/// (Chen et al., arXiv 2208.04202; probability as in LangFlow, arXiv 2604.11748). What is `taught` is a share of the targets.
///
/// # Errors
/// If shapes do not fit.
pub fn loss(
    network: &Network,
    corrupted: &Corrupted,
    layout: &Layout<'_>,
    self_condition: bool,
    taught: Option<&Taught>,
    tape: Option<&Tape>,
) -> Result<Loss> {
    let tables = network.tables(tape)?;
    let mut rows = corrupted.place(network, &tables)?;
    if self_condition {
        let hidden = run(network, &tables.detached(), &rows, corrupted, layout)?;
        let evidence = evidence(network, &hidden, &rows)?;
        let (h, unit) = (evidence.tensor(), tables.head().tensor());
        let place = rows.place.clone();
        let (x_hat, entropy) = match network.config().routing.reads_entropy() {
            true => {
                let (x_hat, entropy) = mixture_with_entropy(h, unit, network.bias())?;
                (x_hat, Some(entropy))
            }
            false => (mixture(h, unit, network.bias())?, None),
        };
        rows.input.last = Some(LastPrediction { x_hat, entropy, place });
    }
    let hidden = run(network, &tables, &rows, corrupted, layout)?;
    let evidence = evidence(network, &hidden, &rows)?;
    let head = match tape {
        Some(_) => tables.head().clone(),
        // A network that only reads may keep its table in few bits, and none in `tables`.
        None => Value::constant(&network.head_rows()?),
    };
    let (value, nats) = evidence.cross_entropy(&head, network.bias(), &rows.targets, &rows.weights, taught)?;
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
        load: RoutingLoad::of(&hidden),
    })
}

/// What routed experts run for in a forward pass, row by row of `[noisy | clean]`, without a prediction of its tokens.
///
/// # Errors
/// If shapes do not fit.
pub(crate) fn compute(network: &Network, corrupted: &Corrupted, layout: &Layout<'_>) -> Result<ComputeReport> {
    let tables = network.tables(None)?;
    let rows = corrupted.place(network, &tables)?;
    let mut report = ComputeReport::by_row();
    counted(network, &tables, &rows, (corrupted, layout), &mut report)?;
    Ok(report)
}

/// The blocks over the rows of a pass.
pub(crate) fn run(
    network: &Network,
    tables: &Tables,
    rows: &Rows,
    corrupted: &Corrupted,
    layout: &Layout<'_>,
) -> Result<Hidden> {
    counted(
        network,
        tables,
        rows,
        (corrupted, layout),
        &mut ComputeReport::default(),
    )
}

fn counted(
    network: &Network,
    tables: &Tables,
    rows: &Rows,
    (corrupted, layout): (&Corrupted, &Layout<'_>),
    report: &mut ComputeReport,
) -> Result<Hidden> {
    let segment = Segment {
        batch: corrupted.batch,
        len: corrupted.each,
        plan: layout.plan.clone(),
        units: layout.units.clone(),
        rotary: layout.rotary,
        past: None,
    };
    Ok(network.hidden(tables, &rows.input, &mut [segment], report)?)
}

/// Evidence `y + g` at the open rows.
pub(crate) fn evidence(network: &Network, hidden: &Hidden, rows: &Rows) -> Result<Value> {
    let g = network.evidence(hidden)?;
    match (&rows.evidence, &rows.input.soft) {
        (Some(pick), Some(soft)) => {
            let none = Tensor::zeros((1, soft.evidence.dim(1)?), DType::F32, pick.device())?;
            let y = embedding(pick, &Tensor::cat(&[&none, &soft.evidence], 0)?)?;
            Ok(g.add(&Value::constant(&y.to_dtype(network.dtype())?))?)
        }
        _ => Ok(g),
    }
}
