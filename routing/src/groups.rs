//! Which rows of a pass compete for the same experts.

use candle_core::{Device, Tensor};

use crate::Result;

/// Rows of a group at most: a tile of the attention plan.
const TILE: usize = 64;

/// Neighbouring rows of one sequence that share a capacity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Group {
    /// First member, counted over the members of all groups.
    pub(crate) start: usize,
    pub(crate) len: usize,
    /// Members that may have experts.
    pub(crate) open: usize,
    /// Mean signal `alpha^2` of the block.
    pub(crate) signal: f64,
    /// Share of the routed experts' full compute that it may spend.
    pub(crate) budget: f64,
}

/// The groups of a pass, in the order of its rows. A group never holds rows of two sequences, so nothing that one text
/// does moves the routing of another.
///
/// Routers see the members of groups only: rows of blocks. Anchors outside blocks cost them nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Groups {
    groups: Vec<Group>,
    rows: usize,
    /// Row of each member, and whether it may have experts.
    members: Vec<u32>,
    open: Vec<bool>,
}

impl Groups {
    /// The next rows are a block whose mean signal `alpha^2` is `signal`; those that are `open` may have experts, and may
    /// spend the share `budget` in `[0, 1]` of their full compute. A long block is cut into tiles of 64 rows, and a tile without
    /// open rows is settled.
    pub fn block(&mut self, open: &[bool], signal: f64, budget: f64) {
        for tile in open.chunks(TILE) {
            let count = tile.iter().filter(|open| **open).count();
            if count == 0 {
                self.settled(tile.len());
                continue;
            }
            self.groups.push(Group {
                start: self.members.len(),
                len: tile.len(),
                open: count,
                signal,
                budget,
            });
            self.members
                .extend((self.rows..self.rows + tile.len()).map(|row| row as u32));
            self.open.extend_from_slice(tile);
            self.rows += tile.len();
        }
    }

    /// The next `rows` rows are settled: anchors, which have no routed expert.
    pub fn settled(&mut self, rows: usize) {
        self.rows += rows;
    }

    /// Rows of the pass.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Rows that may have experts.
    #[must_use]
    pub fn open_rows(&self) -> usize {
        self.groups.iter().map(|group| group.open).sum()
    }

    /// How many groups there are; settled rows outside blocks belong to none.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there are no groups.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Rows that stand in groups.
    #[must_use]
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// The row of each member, `[members]` u32.
    pub(crate) fn member_rows(&self, device: &Device) -> Result<Tensor> {
        Ok(Tensor::from_slice(&self.members, self.members.len(), device)?)
    }

    pub(crate) fn row_of(&self, member: usize) -> u32 {
        self.members[member]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter()
    }

    /// The open members of a group.
    pub(crate) fn open_of(&self, group: &Group) -> impl Iterator<Item = usize> {
        (group.start..group.start + group.len).filter(|member| self.open[*member])
    }

    /// One number for each member: `of(open, signal)`.
    pub(crate) fn per_member(&self, of: impl Fn(bool, f64) -> f64) -> Vec<f32> {
        let mut numbers = Vec::with_capacity(self.members.len());
        for group in &self.groups {
            let open = &self.open[group.start..group.start + group.len];
            numbers.extend(open.iter().map(|open| of(*open, group.signal) as f32));
        }
        numbers
    }
}
