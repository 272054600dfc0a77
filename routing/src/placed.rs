//! Groups with all that routers need of them on the device, made once for all layers of a pass.
//!
//! A copy to a GPU may wait for the work that was queued before it. So everything that follows from shapes and levels is
//! copied before the first layer, and a router that reads nothing back never lets the device run dry.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use drdiff_kernels::Value;

use crate::groups::Group;
use crate::last::features;
use crate::{Error, Groups, LastEntropy, Result, RouterKind, RoutingConfig};

/// Added to a score that is out of reach: its share of a softmax is exactly 0.
const BARRED: f32 = -1e9;

/// The groups of a pass with open rows, on the device of the network.
#[derive(Debug, Clone)]
pub struct Placed {
    pub(crate) groups: Groups,
    /// Row of each member, `[members]` u32.
    pub(crate) rows: Tensor,
    /// Mean signal of each member's block less a half, `[members, 1]` f32.
    pub(crate) signal: Tensor,
    /// What each member knows of its last prediction, `[members, 2]` f32, if routers read it.
    pub(crate) last: Option<Tensor>,
    /// 0 for the experts that take part in a member's group and a great negative number for others, `[members, experts]` f32; if
    /// there are others.
    pub(crate) barred: Option<Tensor>,
    /// For each open member its part of a mean over them, 0 for others, `[members, 1]` f32.
    pub(crate) share: Tensor,
    /// What expert choice takes.
    pub(crate) picks: Option<Picks>,
}

/// What expert choice takes, as far as shapes and levels decide it.
#[derive(Debug, Clone)]
pub(crate) struct Picks {
    /// 2 for open members, which so come before settled ones whatever their probability; `[members, 1]` f32.
    pub(crate) bonus: Tensor,
    /// Groups of one size each, in which every expert takes as many members.
    pub(crate) sizes: Vec<Size>,
    /// The expert of each pick in `sizes`.
    pub(crate) experts: Vec<u32>,
    /// How these are sorted, if there are no others.
    pub(crate) order: Option<Order>,
    /// Groups that take fewer pairs of member and expert than there are experts.
    pub(crate) few: Vec<Few>,
    /// Picks of each group.
    pub(crate) taken: Vec<usize>,
}

/// Picks sorted by expert.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// From the order of the picks, `[n]` u32.
    pub(crate) from: Tensor,
    /// The experts in that order, `[n]` u32.
    pub(crate) experts: Tensor,
    /// Picks of each expert.
    pub(crate) counts: Vec<usize>,
}

/// A group that takes its best pairs of member and expert, and how many.
#[derive(Debug, Clone)]
pub(crate) struct Few {
    pub(crate) open: Vec<u32>,
    pub(crate) count: usize,
}

impl Order {
    /// Of picks that these experts have made.
    pub(crate) fn new(of: &[u32], experts: usize, device: &Device) -> Result<Self> {
        let mut counts = vec![0; experts];
        of.iter().for_each(|expert| counts[*expert as usize] += 1);
        let mut next: Vec<usize> = counts
            .iter()
            .scan(0, |end, count| Some(std::mem::replace(end, *end + count)))
            .collect();
        // Counted, not compared: with small groups this is done in every layer.
        let mut from = vec![0u32; of.len()];
        for (at, expert) in of.iter().enumerate() {
            let place = &mut next[*expert as usize];
            from[*place] = at as u32;
            *place += 1;
        }
        let of_expert = |(expert, count): (usize, &usize)| std::iter::repeat_n(expert as u32, *count);
        let sorted: Vec<u32> = counts.iter().enumerate().flat_map(of_expert).collect();
        Ok(Self {
            from: Tensor::from_vec(from, of.len(), device)?,
            experts: Tensor::from_vec(sorted, of.len(), device)?,
            counts,
        })
    }
}

/// The picks in all groups of one size.
#[derive(Debug, Clone)]
pub(crate) struct Size {
    /// Members of a group.
    pub(crate) len: usize,
    /// All members of all these groups, `[groups * len]` u32.
    pub(crate) members: Tensor,
    /// Places among their sorted scores, `[groups * experts * len]` flattened, and the first member of the group of each.
    pub(crate) slots: Tensor,
    pub(crate) starts: Tensor,
}

impl Groups {
    /// What routers of this configuration need of the groups of a pass of `rows` rows, some of which may have been predicted
    /// before; `None` if no row is open.
    ///
    /// # Errors
    /// [`Error::Groups`] if the groups are those of another number of rows; or a copy fails.
    pub fn place(
        &self,
        config: &RoutingConfig,
        rows: usize,
        last: Option<LastEntropy<'_>>,
        device: &Device,
    ) -> Result<Option<Placed>> {
        if self.rows() != rows {
            let grouped = self.rows();
            return Err(Error::Groups { rows, grouped });
        }
        if self.open_rows() == 0 {
            return Ok(None);
        }
        let column = |of: &dyn Fn(bool, f64) -> f64| {
            let numbers = self.per_member(of);
            Tensor::from_vec(numbers, (self.members(), 1), device)
        };
        let share = (self.open_rows() as f64).recip();
        let picks = match config.kind {
            RouterKind::ExpertChoice => {
                let bonus = column(&|open, _| if open { 2.0 } else { 0.0 })?;
                Some(Picks::new(self, config, bonus)?)
            }
            _ => None,
        };
        let rows = self.member_rows(device)?;
        Ok(Some(Placed {
            barred: self.barred(config, device)?,
            last: config.entropy.then(|| features(last, &rows, device)).transpose()?,
            rows,
            signal: column(&|_, signal| signal - 0.5)?,
            share: column(&|open, _| if open { share } else { 0.0 })?,
            picks,
            groups: self.clone(),
        }))
    }
}

impl Groups {
    /// See [`Placed::barred`].
    fn barred(&self, config: &RoutingConfig, device: &Device) -> Result<Option<Tensor>> {
        let experts = config.experts;
        if self.iter().all(|group| config.experts_at(group.budget) == experts) {
            return Ok(None);
        }
        let mut numbers = Vec::with_capacity(self.members() * experts);
        for group in self.iter() {
            let takes_part = config.experts_at(group.budget);
            for _ in 0..group.len {
                numbers.extend((0..experts).map(|expert| if expert < takes_part { 0.0 } else { BARRED }));
            }
        }
        Ok(Some(Tensor::from_vec(numbers, (self.members(), experts), device)?))
    }
}

impl Placed {
    /// The scores with which experts are chosen and weighed: those of experts that take no part are out of reach.
    pub(crate) fn bar(&self, scores: &Value) -> Result<Value> {
        Ok(match &self.barred {
            None => scores.clone(),
            Some(barred) => scores.through(|scores| Ok((scores + barred)?))?,
        })
    }
}

impl Picks {
    fn new(groups: &Groups, config: &RoutingConfig, bonus: Tensor) -> Result<Self> {
        let (experts, device) = (config.experts, bonus.device());
        let vector = |numbers: Vec<u32>| {
            let count = numbers.len();
            Tensor::from_vec(numbers, count, device)
        };
        let (mut few, mut taken) = (Vec::new(), Vec::with_capacity(groups.len()));
        let mut by_size: BTreeMap<usize, Vec<(&Group, usize, usize)>> = BTreeMap::new();
        for group in groups.iter() {
            let takes_part = config.experts_at(group.budget);
            match capacity(config, group, takes_part) {
                Capacity::Each(count) => {
                    by_size.entry(group.len).or_default().push((group, takes_part, count));
                    taken.push(takes_part * count);
                }
                Capacity::Pairs(count) => {
                    let open: Vec<u32> = groups.open_of(group).map(|member| member as u32).collect();
                    let count = count.min(open.len() * takes_part);
                    few.push(Few { open, count });
                    taken.push(count);
                }
            }
        }
        let (mut sizes, mut of) = (Vec::new(), Vec::new());
        for (len, groups) in by_size {
            let (mut slots, mut starts) = (Vec::new(), Vec::new());
            for expert in 0..experts {
                for (index, (group, takes_part, count)) in groups.iter().enumerate() {
                    if expert >= *takes_part {
                        continue;
                    }
                    let first = (index * experts + expert) * len;
                    slots.extend((first..first + count).map(|slot| slot as u32));
                    starts.extend(std::iter::repeat_n(group.start as u32, *count));
                    of.extend(std::iter::repeat_n(expert as u32, *count));
                }
            }
            let members = groups.iter().flat_map(|(group, ..)| group.start..group.start + len);
            sizes.push(Size {
                len,
                members: vector(members.map(|member| member as u32).collect())?,
                slots: vector(slots)?,
                starts: vector(starts)?,
            });
        }
        let order = match few.is_empty() {
            true => Some(Order::new(&of, experts, device)?),
            false => None,
        };
        Ok(Self {
            bonus,
            sizes,
            experts: of,
            order,
            few,
            taken,
        })
    }
}

/// What a group takes.
enum Capacity {
    /// So many members for each expert, at least one.
    Each(usize),
    /// So many pairs of member and expert in all, for less than one member an expert.
    Pairs(usize),
}

/// `k open` pairs, with `k` experts for each open member on average: rounded to equal numbers for the experts that take part,
/// or up to a whole number of pairs if they are fewer than these.
fn capacity(config: &RoutingConfig, group: &Group, takes_part: usize) -> Capacity {
    let wanted = config.experts_per_row(group.signal) * group.open as f64 * group.budget;
    if wanted < takes_part as f64 {
        // A whole number stays one, whatever its last bit is.
        return Capacity::Pairs((wanted - 1e-9).ceil().max(0.0) as usize);
    }
    Capacity::Each(((wanted / takes_part as f64).round() as usize).min(group.open))
}
