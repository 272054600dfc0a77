//! Experts choose rows: inside each group every expert takes its best ones.

use std::collections::BTreeMap;

use candle_core::Tensor;
use drdiff_kernels::{Builder, Value};

use crate::groups::Group;
use crate::head::{Head, aux_loss, entropy, softmax};
use crate::{Chosen, Groups, Result, Router, Routing, RoutingConfig};

/// Expert choice (Zhou et al., arXiv 2202.09368) inside a group: `ceil(k open / experts)` rows for each expert, `k` by the
/// group's noise level. A row's weight is its softmax over the experts.
///
/// How many rows an expert gets follows from shapes and levels alone, so nothing is read back from the device.
pub(crate) struct ExpertChoice {
    head: Head,
    config: RoutingConfig,
}

/// Where each chosen row stands in the sorted scores of the groups of one size.
#[derive(Default)]
struct Slots {
    slots: Vec<u32>,
    starts: Vec<u32>,
    experts: Vec<u32>,
}

impl ExpertChoice {
    pub(crate) fn new(builder: &Builder, config: &RoutingConfig, width: usize) -> Result<Self> {
        Ok(Self {
            head: Head::new(builder, width, config.experts)?,
            config: config.clone(),
        })
    }

    /// Rows of the group that each expert takes.
    fn capacity(&self, group: &Group) -> usize {
        let wanted = self.config.experts_per_row(group.signal) * group.open as f64 * group.budget;
        // An exact multiple stays one, whatever the last bit of the quotient is.
        let each = (wanted / self.config.experts as f64 - 1e-9).ceil().max(0.0);
        (each as usize).min(group.open)
    }

    /// The chosen members (`[n]` u32) and their experts, group size by group size.
    #[expect(
        clippy::disallowed_methods,
        reason = "rows of at most 64 columns, and an order has no gradient"
    )]
    fn choose(&self, probabilities: &Tensor, groups: &Groups) -> Result<Option<(Tensor, Vec<u32>)>> {
        let (experts, device) = (self.config.experts, probabilities.device());
        // Open members come before settled ones, whatever their probability.
        let open = groups.per_member(|open, _| if open { 2.0 } else { 0.0 });
        let ranks = probabilities.broadcast_add(&Tensor::from_vec(open, (groups.members(), 1), device)?)?;
        let mut sizes: BTreeMap<usize, Vec<&Group>> = BTreeMap::new();
        for group in groups.iter().filter(|group| group.open > 0) {
            sizes.entry(group.len).or_default().push(group);
        }
        let (mut rows, mut of) = (Vec::new(), Vec::new());
        for (size, members) in sizes {
            let mut chosen = Slots::default();
            for expert in 0..experts {
                for (index, group) in members.iter().enumerate() {
                    let first = (index * experts + expert) * size;
                    let capacity = self.capacity(group);
                    chosen.slots.extend((first..first + capacity).map(|slot| slot as u32));
                    chosen.starts.extend(std::iter::repeat_n(group.start as u32, capacity));
                    chosen.experts.extend(std::iter::repeat_n(expert as u32, capacity));
                }
            }
            let count = chosen.slots.len();
            if count == 0 {
                continue;
            }
            let members: Vec<u32> = members
                .iter()
                .flat_map(|group| group.start as u32..(group.start + group.len) as u32)
                .collect();
            let total = members.len();
            let ranks = ranks.index_select(&Tensor::from_vec(members, total, device)?, 0)?;
            let ranks = ranks.reshape((total / size, size, experts))?.transpose(1, 2)?;
            let best = ranks.contiguous()?.arg_sort_last_dim(false)?.flatten_all()?;
            let picked = best.index_select(&Tensor::from_vec(chosen.slots, count, device)?, 0)?;
            rows.push((picked + Tensor::from_vec(chosen.starts, count, device)?)?);
            of.extend(chosen.experts);
        }
        match rows.is_empty() {
            true => Ok(None),
            false => Ok(Some((Tensor::cat(&rows, 0)?, of))),
        }
    }
}

impl Router for ExpertChoice {
    fn flops_per_row(&self) -> u64 {
        self.head.flops_per_row()
    }

    fn route(&self, hidden: &Value, groups: &Groups) -> Result<Option<Routing>> {
        let experts = self.config.experts;
        if groups.open_rows() == 0 {
            return Ok(None);
        }
        let scores = self.head.scores(hidden, groups)?;
        let probabilities = scores.through(|scores| Ok(softmax(scores)?))?;
        let taken = groups.iter().map(|group| experts * self.capacity(group)).collect();
        let mut counts = vec![0; experts];
        let mut chosen = None;
        if let Some((members, of)) = self.choose(probabilities.tensor(), groups)? {
            let device = members.device();
            let mut order: Vec<u32> = (0..of.len() as u32).collect();
            order.sort_by_key(|at| of[*at as usize]);
            let sorted: Vec<u32> = order.iter().map(|at| of[*at as usize]).collect();
            sorted.iter().for_each(|expert| counts[*expert as usize] += 1);
            let members = members.index_select(&Tensor::from_vec(order, of.len(), device)?, 0)?;
            let width = Tensor::full(experts as u32, of.len(), device)?;
            let cells = ((&members * width)? + Tensor::from_vec(sorted, of.len(), device)?)?;
            let gates = probabilities.reshape((groups.members() * experts, 1))?.rows(&cells)?;
            chosen = Some(Chosen {
                rows: groups.member_rows(device)?.index_select(&members, 0)?,
                gates,
            });
        }
        Ok(Some(Routing {
            chosen,
            counts,
            taken,
            aux_loss: aux_loss(&scores, groups, &self.config, None)?,
            entropy: entropy(scores.tensor(), groups)?,
        }))
    }
}
