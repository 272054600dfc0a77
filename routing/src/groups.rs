//! Which rows of a pass compete for the same experts.

/// Rows of a group at most: a tile of the attention plan.
const TILE: usize = 64;

/// Neighbouring rows of one sequence that share a capacity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Group {
    pub(crate) start: usize,
    pub(crate) len: usize,
    /// Rows among them that may have experts.
    pub(crate) open: usize,
    /// Mean signal `alpha^2` of the block.
    pub(crate) signal: f64,
    /// Share of the routed experts' full compute that it may spend.
    pub(crate) budget: f64,
}

/// The groups of a pass, in the order of its rows. A group never holds rows of two sequences, so nothing that one text
/// does moves the routing of another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Groups {
    groups: Vec<Group>,
    open: Vec<bool>,
}

impl Groups {
    /// The next rows are a block whose mean signal `alpha^2` is `signal`; those that are `open` may have experts, and may
    /// spend the share `budget` in `[0, 1]` of their full compute. A long block is cut into tiles of 64 rows.
    pub fn block(&mut self, open: &[bool], signal: f64, budget: f64) {
        for tile in open.chunks(TILE) {
            self.groups.push(Group {
                start: self.open.len(),
                len: tile.len(),
                open: tile.iter().filter(|open| **open).count(),
                signal,
                budget,
            });
            self.open.extend_from_slice(tile);
        }
    }

    /// The next `rows` rows are settled: anchors, which have no routed expert.
    pub fn settled(&mut self, rows: usize) {
        self.open.resize(self.open.len() + rows, false);
    }

    /// Rows of the pass.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.open.len()
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

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter()
    }

    /// The open rows of each group.
    pub(crate) fn open_of(&self, group: &Group) -> impl Iterator<Item = usize> {
        (group.start..group.start + group.len).filter(|row| self.open[*row])
    }

    /// One number for each row: `of(open, signal)`, where rows outside groups have signal 1.
    pub(crate) fn per_row(&self, of: impl Fn(bool, f64) -> f64) -> Vec<f32> {
        let mut signals = vec![1.0; self.open.len()];
        for group in &self.groups {
            signals[group.start..group.start + group.len].fill(group.signal);
        }
        self.open
            .iter()
            .zip(signals)
            .map(|(open, signal)| of(*open, signal) as f32)
            .collect()
    }
}
