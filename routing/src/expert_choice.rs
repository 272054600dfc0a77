//! Experts choose rows: inside each group every expert takes its best ones.

use candle_core::Tensor;
use drdiff_kernels::{Builder, Value};
use rayon::prelude::*;

use crate::head::{Head, aux_loss, entropy, load, softmax};
use crate::placed::{Few, Order, Picks, Size};
use crate::{Chosen, Placed, Result, Router, Routing, RoutingConfig};

/// Expert choice (Zhou et al., arXiv 2202.09368) inside a group: `k open / experts` rows for each expert, `k` by the group's
/// noise level. A row's weight is its softmax over the experts.
///
/// How many rows an expert gets follows from shapes and levels alone, so nothing is read back from the device; but groups
/// with less than a row for each expert take their best pairs of row and expert, for which their scores are read.
pub(crate) struct ExpertChoice {
    head: Head,
    config: RoutingConfig,
}

impl ExpertChoice {
    pub(crate) fn new(builder: &Builder, config: &RoutingConfig, width: usize) -> Result<Self> {
        Ok(Self {
            head: Head::new(builder, config, width)?,
            config: config.clone(),
        })
    }
}

/// The members that experts take in groups of equal numbers for all, `[n]` u32.
#[expect(
    clippy::disallowed_methods,
    reason = "rows of at most 64 columns, and an order has no gradient"
)]
fn best(probabilities: &Tensor, picks: &Picks) -> candle_core::Result<Vec<Tensor>> {
    let experts = probabilities.dim(1)?;
    let ranks = probabilities.broadcast_add(&picks.bonus)?;
    let of_size = |size: &Size| {
        let ranks = ranks.index_select(&size.members, 0)?;
        let ranks = ranks.reshape(((), size.len, experts))?.transpose(1, 2)?;
        let best = ranks.contiguous()?.arg_sort_last_dim(false)?.flatten_all()?;
        best.index_select(&size.slots, 0)? + &size.starts
    };
    picks.sizes.iter().map(of_size).collect()
}

/// The best pairs of member and expert in groups that take few, group after group.
fn pairs(probabilities: &Tensor, few: &[Few]) -> candle_core::Result<Vec<(u32, u32)>> {
    let experts = probabilities.dim(1)?;
    let members: Vec<u32> = few.iter().flat_map(|few| few.open.iter().copied()).collect();
    let members = Tensor::from_slice(&members, members.len(), probabilities.device())?;
    let rows = probabilities
        .index_select(&members, 0)?
        .flatten_all()?
        .to_vec1::<f32>()?;
    let mut rest = rows.as_slice();
    let mut groups = Vec::with_capacity(few.len());
    for few in few {
        let (own, later) = rest.split_at(few.open.len() * experts);
        groups.push((few, own));
        rest = later;
    }
    // The device waits for this.
    let best = |(Few { open, count }, rows): (&Few, &[f32])| {
        let mut cells: Vec<u32> = (0..rows.len() as u32).collect();
        cells.sort_by(|a, b| rows[*b as usize].total_cmp(&rows[*a as usize]));
        cells.truncate(*count);
        let pair = |cell: u32| (open[cell as usize / experts], cell % experts as u32);
        cells.into_iter().map(pair).collect::<Vec<_>>()
    };
    let chosen: Vec<Vec<(u32, u32)>> = groups.into_par_iter().map(best).collect();
    Ok(chosen.concat())
}

/// The chosen members, `[n]` u32, and how they are sorted; `None` if there are none.
fn choose(probabilities: &Tensor, picks: &Picks) -> Result<Option<(Tensor, Order)>> {
    let (experts, device) = (probabilities.dim(1)?, probabilities.device());
    let mut members = best(probabilities, picks)?;
    let order = match &picks.order {
        Some(order) => order.clone(),
        None => {
            let pairs = pairs(probabilities, &picks.few)?;
            let of: Vec<u32> = picks
                .experts
                .iter()
                .copied()
                .chain(pairs.iter().map(|pair| pair.1))
                .collect();
            if !pairs.is_empty() {
                let rows: Vec<u32> = pairs.iter().map(|pair| pair.0).collect();
                members.push(Tensor::from_vec(rows, pairs.len(), device)?);
            }
            Order::new(&of, experts, device)?
        }
    };
    Ok(match members.is_empty() {
        true => None,
        false => Some((Tensor::cat(&members, 0)?.index_select(&order.from, 0)?, order)),
    })
}

impl Router for ExpertChoice {
    fn flops_per_row(&self) -> u64 {
        self.head.flops_per_row()
    }

    fn route(&self, hidden: &Value, placed: &Placed) -> Result<Routing> {
        let experts = self.config.experts;
        let scores = placed.bar(&self.head.scores(hidden, placed)?)?;
        let probabilities = scores.through(|scores| Ok(softmax(scores)?))?;
        let (mut chosen, mut counts, mut taken) = (None, vec![0; experts], vec![0; placed.groups.len()]);
        let mut uneven = None;
        if let Some(picks) = &placed.picks
            && let Some((members, order)) = choose(probabilities.tensor(), picks)?
        {
            let cells = (members.affine(experts as f64, 0.0)? + &order.experts)?;
            chosen = Some(Chosen {
                rows: placed.rows.index_select(&members, 0)?,
                gates: probabilities
                    .reshape((placed.groups.members() * experts, 1))?
                    .rows(&cells)?,
            });
            if !picks.few.is_empty() {
                uneven = Some(load(&order.counts, members.device())?);
            }
            counts = order.counts;
            taken.clone_from(&picks.taken);
        }
        Ok(Routing {
            chosen,
            counts,
            taken,
            aux_loss: aux_loss(&scores, placed, &self.config, uneven.as_ref())?,
            entropy: entropy(scores.tensor(), placed)?,
        })
    }
}
