//! Texts of a pass that one call of attention serves.

use std::sync::Arc;

use drdiff_attention::{Cohort, LayerPlans, Past, Place, Reads, Segment};
use drdiff_kernels::{Rotary, TilePlan};
use drdiff_model::Network;

use crate::Result;
use crate::step_plan::Visible;

/// A text in a pass: one for each view.
#[derive(Clone)]
pub(crate) struct Member {
    /// Rows that it has in the pass.
    pub(crate) len: usize,
    /// Index of the first of them in the whole text.
    pub(crate) position: i64,
    pub(crate) visible: Visible,
    /// Where its memory is, if other texts have theirs beside it.
    pub(crate) place: Option<Place>,
}

impl Member {
    /// Whether one call of attention can serve both.
    fn joins(&self, other: &Self) -> bool {
        let shared = |(a, b): (&Place, &Place)| a.shares(b);
        let alike = self.len == other.len && self.visible.blocks == other.visible.blocks;
        alike && self.place.as_ref().zip(other.place.as_ref()).is_some_and(shared)
    }

    /// Whether it reads and writes what `other` does: a later step of the same block.
    fn repeats(&self, other: &Self) -> bool {
        let place = (self.position, &self.place) == (other.position, &other.place);
        place && self.visible.reads.shares(&other.visible.reads)
    }

    fn positions(&self) -> Vec<i64> {
        (self.position..self.position + self.len as i64).collect()
    }
}

/// Neighbours in a pass: at least one.
struct Group {
    members: Vec<Member>,
    rotary: Rotary,
    /// For two texts or more.
    cohort: Option<Cohort>,
}

/// The groups of the last pass: from one step of a block to the next little changes.
#[derive(Default)]
pub(crate) struct Cohorts {
    groups: Vec<Group>,
}

impl Group {
    fn new(members: &[Member], network: &Network) -> Result<Self> {
        let config = network.config();
        let positions: Vec<Vec<i64>> = members.iter().map(Member::positions).collect();
        let places: Vec<Place> = members.iter().filter_map(|member| member.place.clone()).collect();
        // Texts in a bank read tiles, and only they join.
        let tiles = |member: &Member| match &member.visible.reads {
            Reads::Tiles(plan) => Some(plan.clone()),
            Reads::Trees { .. } | Reads::Causal(_) => None,
        };
        let plans: Vec<Arc<TilePlan>> = members.iter().filter_map(tiles).collect();
        Ok(Self {
            rotary: config.rotary(&positions, network.device())?,
            cohort: match members {
                [_] => None,
                many => Some(Cohort::new(&places, &plans, many[0].len)?),
            },
            members: members.to_vec(),
        })
    }

    fn serves(&self, members: &[Member]) -> bool {
        let mut pairs = self.members.iter().zip(members);
        self.members.len() == members.len() && pairs.all(|(known, member)| member.repeats(known))
    }

    /// Its segment; `past` is that of its first text.
    fn segment<'a>(&'a self, past: Past<'a>) -> Segment<'a> {
        let Member { len, visible, .. } = &self.members[0];
        let (reads, past) = match &self.cohort {
            None => (visible.reads.clone(), past),
            Some(cohort) => (Reads::Tiles(cohort.plan().clone()), Past::Cohort(cohort)),
        };
        Segment {
            batch: self.members.len(),
            len: *len,
            plan: LayerPlans::from(reads).in_blocks(visible.blocks.clone()),
            units: visible.units.clone(),
            rotary: &self.rotary,
            past: Some(past),
        }
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

    /// The segments of the pass; `pasts` are those of its texts, one after another.
    pub(crate) fn segments<'a>(&'a self, mut pasts: impl Iterator<Item = Past<'a>>) -> Vec<Segment<'a>> {
        let groups = self.groups.iter().filter_map(|group| {
            let first = pasts.next()?;
            pasts.by_ref().take(group.members.len() - 1).for_each(drop);
            Some(group.segment(first))
        });
        groups.collect()
    }
}
