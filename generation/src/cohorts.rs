//! Texts of a pass that one call of attention serves.

use std::sync::Arc;

use drdiff_attention::{Cohort, LayerPlans, Past, Place, Segment};
use drdiff_kernels::{Rotary, TilePlan};
use drdiff_model::Network;

use crate::Result;
use crate::part::Plan;

/// A text in a pass: one for each view of a job.
pub(crate) struct Member {
    /// Rows that it has in the pass.
    pub(crate) len: usize,
    /// Index of the first of them in the whole text.
    pub(crate) position: i64,
    pub(crate) plan: Plan,
    /// Where its memory is, if other texts have theirs beside it.
    pub(crate) place: Option<Place>,
}

impl Member {
    /// Whether one call of attention can serve both.
    fn joins(&self, other: &Self) -> bool {
        let shared = |(a, b): (&Place, &Place)| a.shares(b);
        let alike = self.len == other.len && self.plan.blocks == other.plan.blocks;
        alike && self.place.as_ref().zip(other.place.as_ref()).is_some_and(shared)
    }

    fn positions(&self) -> Vec<i64> {
        (self.position..self.position + self.len as i64).collect()
    }
}

/// Neighbours in a pass.
struct Group {
    len: usize,
    /// What the rest was made of.
    of: Vec<(i64, Option<Place>, Arc<TilePlan>)>,
    rotary: Rotary,
    /// For two texts or more.
    cohort: Option<Cohort>,
}

/// The cohorts of the last pass: from one step of a block to the next little changes.
#[derive(Default)]
pub(crate) struct Cohorts {
    groups: Vec<Group>,
}

impl Group {
    fn new(members: &[Member], network: &Network) -> Result<Self> {
        let config = network.config();
        let len = members.first().map_or(0, |member| member.len);
        let positions: Vec<Vec<i64>> = members.iter().map(Member::positions).collect();
        let places: Vec<Place> = members.iter().filter_map(|member| member.place.clone()).collect();
        let plans: Vec<Arc<TilePlan>> = members.iter().map(|member| member.plan.tiles.clone()).collect();
        Ok(Self {
            len,
            of: Self::made_of(members).collect(),
            rotary: Rotary::new(&positions, config.head_dim, config.rope_base, network.device())?,
            cohort: match members.len() {
                1 => None,
                _ => Some(Cohort::new(&places, &plans, len)?),
            },
        })
    }

    fn made_of(members: &[Member]) -> impl Iterator<Item = (i64, Option<Place>, Arc<TilePlan>)> {
        members
            .iter()
            .map(|member| (member.position, member.place.clone(), member.plan.tiles.clone()))
    }

    /// Whether it was made of the same texts at the same places.
    fn serves(&self, members: &[Member]) -> bool {
        let same = |((a, at, plan), (b, beside, other)): (&(i64, Option<Place>, Arc<TilePlan>), _)| {
            (*a, at) == (b, &beside) && Arc::ptr_eq(plan, &other)
        };
        self.of.len() == members.len() && self.of.iter().zip(Self::made_of(members)).all(same)
    }
}

impl Cohorts {
    /// Joins neighbours among the texts of the next pass.
    pub(crate) fn gather(&mut self, members: &[Member], network: &Network) -> Result<()> {
        let mut known = std::mem::take(&mut self.groups);
        for members in members.chunk_by(Member::joins) {
            let group = match known.iter().position(|group| group.serves(members)) {
                Some(place) => known.swap_remove(place),
                None => Group::new(members, network)?,
            };
            self.groups.push(group);
        }
        Ok(())
    }

    /// The segments of the pass; `members` and `pasts` are those of its texts, one after another.
    pub(crate) fn segments<'a>(
        &'a self,
        members: &[Member],
        pasts: impl Iterator<Item = Past<'a>>,
    ) -> Vec<Segment<'a>> {
        let mut texts = members.iter().zip(pasts);
        let groups = self.groups.iter().filter_map(|group| {
            let (first, past) = texts.next()?;
            let others = group.of.len() - 1;
            if others > 0 {
                texts.by_ref().take(others).for_each(drop);
            }
            let (plan, past) = match &group.cohort {
                None => (&first.plan.tiles, past),
                Some(cohort) => (cohort.plan(), Past::Cohort(cohort)),
            };
            Some(Segment {
                batch: group.of.len(),
                len: group.len,
                plan: LayerPlans::from(plan.clone()).in_blocks(first.plan.blocks.clone()),
                units: first.plan.units.clone(),
                rotary: &group.rotary,
                past: Some(past),
            })
        });
        groups.collect()
    }
}
