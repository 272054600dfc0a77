//! Trees over the positions of a text.

use std::sync::Arc;

use drdiff_kernels::{KeyCode, QueryCode, TILE, TilePlan, Visibility};

use crate::length_adaptive::FARTHEST;
use crate::{Error, Result};

/// A tree over `len` positions in order, and the plan of its exact part.
///
/// Positions are grouped from left to right, groups are grouped again, until one node holds all. Only the last node of
/// a level may be short.
#[derive(Debug)]
pub struct Tree {
    len: usize,
    near: usize,
    leaves: Level,
    upper: Vec<Level>,
    plan: Arc<TilePlan>,
}

/// How the children of one level are grouped into nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Level {
    /// Children that a full node has, or all there are.
    pub(super) branching: usize,
    /// Positions below each child.
    pub(super) children: Vec<usize>,
}

impl Level {
    pub(super) fn nodes(&self) -> usize {
        self.children.len().div_ceil(self.branching)
    }

    /// Children of the nodes, had all as many as a full one.
    pub(super) fn slots(&self) -> usize {
        self.nodes() * self.branching
    }

    /// Positions below each node.
    pub(super) fn sizes(&self) -> Vec<usize> {
        let nodes = self.children.chunks(self.branching);
        nodes.map(|children| children.iter().sum()).collect()
    }
}

impl Tree {
    /// The tree of `len` positions: nodes of the lowest level have `branching[0]` positions, those above
    /// `branching[1]` children and so on; the last number serves all further levels. `near` neighbours of a lowest
    /// node to either side are read exactly too, those that are its siblings.
    ///
    /// # Errors
    /// If there are no positions or no numbers, if a number is below 2, or if `near` is above 0 and the lowest nodes
    /// are not made of whole tiles.
    pub fn new(len: usize, branching: &[usize], near: usize) -> Result<Self> {
        check(branching, near)?;
        if len == 0 {
            return Err(Error::Tree("a text of no positions".to_owned()));
        }
        let mut counts = branching.iter().chain(branching.last().into_iter().cycle());
        let mut level = |children: Vec<usize>| Level {
            branching: counts.next().map_or(children.len(), |count| children.len().min(*count)),
            children,
        };
        let leaves = level(vec![1; len]);
        let mut upper: Vec<Level> = Vec::new();
        let mut nodes = leaves.sizes();
        while nodes.len() > 1 {
            let above = level(nodes);
            nodes = above.sizes();
            upper.push(above);
        }
        let family = upper.first().map_or(1, |level| level.branching);
        let plan = Arc::new(exact(len, branching[0], near, family)?);
        Ok(Self {
            len,
            near,
            leaves,
            upper,
            plan,
        })
    }

    /// Positions.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.len
    }

    /// Pairs that are read, exactly or by means, for one head.
    #[must_use]
    pub fn pairs(&self) -> u64 {
        self.exact_pairs() + self.sibling_pairs()
    }

    /// Pairs of positions that are read exactly.
    fn exact_pairs(&self) -> u64 {
        self.plan.cost().pairs
    }

    /// Pairs of siblings that are read by their means, each child with itself included.
    fn sibling_pairs(&self) -> u64 {
        let squares = |level: &Level| -> u64 {
            let counts = level.children.chunks(level.branching).map(|node| node.len() as u64);
            counts.map(|count| count * count).sum()
        };
        self.upper.iter().map(squares).sum()
    }

    /// Floating-point operations of a forward pass: two products of `2 * head_dim` operations for each pair and head, sums
    /// of queries, keys and values, and what is within a node weighed and added to what is outside.
    #[must_use]
    pub fn flops(&self, heads: usize, head_dim: usize) -> u64 {
        let sums = if self.upper.is_empty() { 0 } else { 5 * self.len as u64 };
        (4 * self.pairs() + sums) * (heads * head_dim) as u64
    }

    pub(super) fn near(&self) -> usize {
        self.near
    }

    pub(super) fn plan(&self) -> &Arc<TilePlan> {
        &self.plan
    }

    pub(super) fn leaves(&self) -> &Level {
        &self.leaves
    }

    /// The levels above the lowest, from below.
    pub(super) fn upper(&self) -> &[Level] {
        &self.upper
    }
}

/// Whether trees can be made with these numbers.
pub(crate) fn check(branching: &[usize], near: usize) -> Result<()> {
    let problem = match branching {
        [] => "no `branching`; give at least one number, such as 64".to_owned(),
        _ if branching.iter().any(|count| *count < 2) => "a `branching` below 2".to_owned(),
        _ if branching.iter().any(|count| *count > FARTHEST) => format!("a `branching` above {FARTHEST}"),
        [leaf, ..] if near > 0 && !leaf.is_multiple_of(TILE) => {
            format!("`near` neighbours of nodes of {leaf} positions; choose a multiple of {TILE}, or `near` 0")
        }
        _ => return Ok(()),
    };
    Err(Error::Tree(problem))
}

/// The pairs that are read one by one: those within a lowest node, and with `near` of its siblings to either side.
fn exact(len: usize, leaf: usize, near: usize, family: usize) -> Result<TilePlan> {
    if near == 0 {
        let group = |position: usize| (position / leaf) as i32;
        let visibility = Visibility {
            queries: (0..len)
                .map(|i| QueryCode {
                    limit: -1,
                    group: group(i),
                })
                .collect(),
            keys: (0..len)
                .map(|i| KeyCode {
                    time: i32::MAX,
                    group: group(i),
                })
                .collect(),
        };
        return Ok(TilePlan::from_lists(visibility, |tile| {
            let last = ((tile + 1) * TILE - 1).min(len - 1);
            let end = ((last / leaf + 1) * leaf).min(len);
            (tile * TILE / leaf * leaf / TILE..end.div_ceil(TILE)).collect()
        })?);
    }
    let (in_leaf, tiles, leaves) = (leaf / TILE, len.div_ceil(TILE), len.div_ceil(leaf));
    Ok(TilePlan::from_lists(Visibility::dense(len, len), |tile| {
        let own = tile / in_leaf;
        let first = own / family * family;
        let (from, to) = (
            own.saturating_sub(near).max(first),
            (own + near.min(family) + 1).min(first + family).min(leaves),
        );
        (from * in_leaf..(to * in_leaf).min(tiles)).collect()
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_hold_all_positions_once() {
        let tree = Tree::new(23, &[3, 4], 0).unwrap();
        assert_eq!(tree.leaves.sizes(), [3, 3, 3, 3, 3, 3, 3, 2]);
        let sizes: Vec<_> = tree.upper.iter().map(Level::sizes).collect();
        assert_eq!(sizes, [vec![12, 11], vec![23]]);
        assert_eq!(tree.exact_pairs(), 7 * 9 + 4);
        assert_eq!(tree.sibling_pairs(), 16 + 16 + 4);
        assert!(Tree::new(5, &[5], 0).unwrap().upper.is_empty(), "one level");
    }

    #[test]
    fn cost_grows_with_length_and_not_with_its_square() {
        let pairs = |len| Tree::new(len, &[64], 0).unwrap().pairs();
        for len in [1 << 12, 1 << 15, 1 << 18] {
            let exact = 64 * len as u64;
            assert!(pairs(len) >= exact && pairs(len) <= exact + exact / 50, "{len}");
        }
    }

    #[test]
    fn neighbours_are_read_within_a_family_only() {
        let tree = Tree::new(6 * 64, &[64, 3], 1).unwrap();
        let row = |tile| tree.plan.rows().row(tile).len();
        assert_eq!([0, 1, 2, 3, 4, 5].map(row), [2, 3, 2, 2, 3, 2]);
        let alone = Tree::new(30, &[64], usize::MAX).unwrap();
        assert_eq!(
            (alone.pairs(), alone.upper().len()),
            (900, 0),
            "a node without siblings"
        );
    }

    #[test]
    fn impossible_trees_are_refused() {
        for (len, branching, near) in [(0, vec![64], 0), (9, vec![], 0), (9, vec![3, 1], 0), (9, vec![3], 1)] {
            let message = Tree::new(len, &branching, near).unwrap_err().to_string();
            assert!(message.contains("`tree` cannot have"), "{message}");
        }
    }
}
