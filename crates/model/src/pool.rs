//! The memory that texts share, and those of them that one call of attention serves.

use std::sync::Arc;

use drdiff_attention::{Bank, CacheShape, Cohort, KvCache, LayerPlans, Past, Place, Reads, Segment};
use drdiff_kernels::{Rotary, TilePlan};

use crate::batch::Visible;
use crate::{Network, Result, TokenBatch};

/// Memory for some texts at a time, for each size of window that they have, and what the last call knew of them.
#[derive(Default)]
pub struct CachePool {
    slots: usize,
    banks: Vec<Arc<Bank>>,
    /// The groups of the last call: from one step of a block to the next little changes.
    groups: Vec<Group>,
}

/// A text in a call.
#[derive(Clone)]
struct Member {
    positions: Vec<i64>,
    visible: Visible,
    /// Where its memory is, if other texts have theirs beside it.
    place: Option<Place>,
}

impl Member {
    /// Whether one call of attention can serve both.
    fn joins(&self, other: &Self) -> bool {
        let shared = |(a, b): (&Place, &Place)| a.shares(b);
        let alike = self.positions.len() == other.positions.len() && self.plan().blocks() == other.plan().blocks();
        alike && self.place.as_ref().zip(other.place.as_ref()).is_some_and(shared)
    }

    /// Whether it reads and writes what `other` does: a later step of the same block.
    fn repeats(&self, other: &Self) -> bool {
        let place = (&self.positions, &self.place) == (&other.positions, &other.place);
        place && self.plan().shares(other.plan())
    }

    fn plan(&self) -> &LayerPlans {
        &self.visible.plan
    }
}

/// Neighbours in a call: at least one.
struct Group {
    members: Vec<Member>,
    rotary: Rotary,
    /// For two texts or more.
    cohort: Option<Cohort>,
}

impl Group {
    fn new(members: &[Member], network: &Network) -> Result<Self> {
        let positions: Vec<Vec<i64>> = members.iter().map(|member| member.positions.clone()).collect();
        let places: Vec<Place> = members.iter().filter_map(|member| member.place.clone()).collect();
        // Texts in a bank read tiles, and only they join.
        let tiles = |member: &Member| match member.plan().of(0) {
            Reads::Tiles(plan) => Some(plan.clone()),
            Reads::Trees { .. } | Reads::Causal(_) => None,
        };
        let plans: Vec<Arc<TilePlan>> = members.iter().filter_map(tiles).collect();
        Ok(Self {
            rotary: network.config().rotary(&positions, network.device())?,
            cohort: match members {
                [_] => None,
                many => Some(Cohort::new(&places, &plans, many[0].positions.len())?),
            },
            members: members.to_vec(),
        })
    }

    fn serves(&self, members: &[Member]) -> bool {
        let mut pairs = self.members.iter().zip(members);
        self.members.len() == members.len() && pairs.all(|(known, member)| member.repeats(known))
    }

    /// Its segment; `past` is that of its first text, if it has memory.
    fn segment<'a>(&'a self, past: Option<Past<'a>>) -> Segment<'a> {
        let Member { positions, visible, .. } = &self.members[0];
        let (plan, past) = match &self.cohort {
            None => (visible.plan.clone(), past),
            Some(cohort) => {
                let plan = LayerPlans::from(cohort.plan().clone()).in_blocks(visible.plan.blocks());
                (plan, Some(Past::Cohort(cohort)))
            }
        };
        Segment {
            batch: self.members.len(),
            len: positions.len(),
            plan,
            units: visible.units.clone(),
            rotary: &self.rotary,
            past,
        }
    }
}

impl Network {
    /// Memory for so many `texts` that see `window` committed positions and take passes of up to `pass` positions.
    ///
    /// # Errors
    /// If the memory cannot be had.
    pub fn bank(&self, (window, pass): (usize, usize), texts: usize) -> Result<Arc<Bank>> {
        Ok(Bank::new(self.cache_shape(), (window, pass), texts)?)
    }

    pub(crate) fn cache_shape(&self) -> CacheShape<'_> {
        CacheShape {
            layers: self.config().layers,
            kv_heads: self.config().kv_heads,
            head_dim: self.config().head_dim,
            dtype: self.dtype(),
            device: self.device(),
        }
    }
}

impl CachePool {
    /// Memory for up to `slots` texts at a time.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self {
            slots,
            ..Self::default()
        }
    }

    /// An empty cache for a text that sees `window` committed positions and takes passes of up to `pass`.
    pub(crate) fn cache(&mut self, network: &Network, sizes: (usize, usize)) -> Result<KvCache> {
        loop {
            for bank in self.banks.iter().filter(|bank| bank.sizes() == sizes) {
                if let Some(cache) = KvCache::seated(bank)? {
                    return Ok(cache);
                }
            }
            // Nobody but this list holds a bank without texts.
            self.banks.retain(|bank| Arc::strong_count(bank) > 1);
            self.banks.push(network.bank(sizes, self.slots)?);
        }
    }

    /// The segments of the next call, in which neighbours among the texts of `batch` are joined; `caches` are theirs, one after
    /// another, or none.
    pub(crate) fn segments<'a>(
        &'a mut self,
        batch: &TokenBatch,
        caches: &'a mut [&mut KvCache],
        network: &Network,
    ) -> Result<Vec<Segment<'a>>> {
        let mut members = Vec::with_capacity(batch.segments().len());
        for (text, segment) in batch.segments().iter().enumerate() {
            let cache = caches.get(text);
            let place = cache.map(|cache| cache.place(segment.rows.len())).transpose()?;
            members.push(Member {
                positions: segment.positions.clone(),
                visible: segment.visible.clone(),
                place: place.flatten(),
            });
        }
        let mut known = std::mem::take(&mut self.groups);
        for members in members.chunk_by(Member::joins) {
            let group = match known.iter().position(|group| group.serves(members)) {
                Some(place) => known.swap_remove(place),
                None => Group::new(members, network)?,
            };
            self.groups.push(group);
        }
        let mut pasts = caches.iter_mut().map(|cache| Past::Cache(cache));
        let segment = |group: &'a Group| {
            let first = pasts.next();
            pasts.by_ref().take(group.members.len() - 1).for_each(drop);
            group.segment(first)
        };
        Ok(self.groups.iter().map(segment).collect())
    }
}
