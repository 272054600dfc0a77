//! Who may see whom, written as codes for single positions.
//!
//! A key carries the `time` at which it becomes context and a `group`; a query carries the latest time that it may
//! read (`limit`) and its own group. A pair is allowed if `key.time <= query.limit` or if both share a group. Three
//! layouts are enough for training and for block after block generation (BD3-LM, arXiv 2503.09573, figure 3).

use std::ops::Range;

use drdiff_kernels::{KeyCode, QueryCode, Visibility};

use crate::{Error, Result};

const NO_GROUP: i32 = -1;
const NEVER: i32 = i32::MAX;

/// Clean positions in blocks: each sees its own block and all blocks before it.
///
/// # Errors
/// If `block_size` is zero.
pub fn block_causal(len: usize, block_size: usize) -> Result<Visibility> {
    check(len, block_size)?;
    let (mut queries, mut keys) = (Vec::with_capacity(len), Vec::with_capacity(len));
    for i in 0..len {
        let block = (i / block_size) as i32;
        queries.push(QueryCode {
            limit: block,
            group: NO_GROUP,
        });
        keys.push(KeyCode {
            time: block,
            group: NO_GROUP,
        });
    }
    Ok(Visibility { queries, keys })
}

/// The training layout `[noisy | clean]` of `2 * len` positions: a noisy block sees itself in both directions and the
/// clean blocks before it; clean blocks see clean blocks up to their own.
///
/// # Errors
/// If `block_size` is zero or above `len`.
pub fn noisy_clean(len: usize, block_size: usize) -> Result<Visibility> {
    halves(len, block_size, block_size)
}

/// [`noisy_clean`] for networks whose context is causal: a clean position sees the clean ones up to itself.
///
/// # Errors
/// As there.
pub fn noisy_causal(len: usize, block_size: usize) -> Result<Visibility> {
    halves(len, block_size, 1)
}

/// Noisy blocks of `block_size` behind clean ones of `clean_block`, which divides it.
fn halves(len: usize, block_size: usize, clean_block: usize) -> Result<Visibility> {
    check(len, block_size)?;
    let clean = block_causal(len, clean_block)?;
    let (mut queries, mut keys) = (Vec::with_capacity(2 * len), Vec::with_capacity(2 * len));
    for i in 0..len {
        let block = i / block_size;
        queries.push(QueryCode {
            limit: (block * block_size / clean_block) as i32 - 1,
            group: block as i32,
        });
        keys.push(KeyCode {
            time: NEVER,
            group: block as i32,
        });
    }
    queries.extend(clean.queries);
    keys.extend(clean.keys);
    Ok(Visibility { queries, keys })
}

/// What one pass of generation holds, in this order: keys of the cache, clean positions that this pass commits, and
/// the noisy block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PassLayout {
    /// Committed positions that the cache holds already.
    pub committed: usize,
    /// Clean positions that this pass adds to the cache.
    pub clean: usize,
    /// Clean positions are cut into blocks of this size, counted from the first of them.
    pub clean_block: usize,
    /// Positions of the block that is being denoised.
    pub noisy: usize,
}

impl PassLayout {
    /// The blocks of the rows of the pass, which all see each other: those of the clean positions, then the noisy one.
    #[must_use]
    pub fn blocks(&self) -> Vec<Range<usize>> {
        self.blocks_of(&[self.noisy])
    }

    /// The same where noisy blocks of these sizes take the place of the one.
    #[must_use]
    pub fn blocks_of(&self, noisy: &[usize]) -> Vec<Range<usize>> {
        let starts = (0..self.clean).step_by(self.clean_block.max(1));
        let mut blocks: Vec<_> = starts
            .map(|start| start..(start + self.clean_block).min(self.clean))
            .collect();
        let mut end = self.clean;
        for rows in noisy.iter().filter(|rows| **rows > 0) {
            blocks.push(end..end + rows);
            end += rows;
        }
        blocks
    }
}

/// A noisy block behind some of the clean positions of a pass, one of several that do not see each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Branch {
    /// Clean positions of the pass that it sees, whole blocks of them; it sees all that is committed, too.
    pub sees: usize,
    /// Its positions.
    pub rows: usize,
}

/// Visibility of one generation pass: queries are the `clean` then the `noisy` positions, keys the cache and those.
/// A pass that holds a clean block and the next noisy one gives the same numbers as two passes, since clean positions
/// never see noisy ones.
///
/// # Errors
/// If there are clean positions and `clean_block` is zero.
pub fn pass(layout: PassLayout) -> Result<Visibility> {
    let (sees, rows) = (layout.clean, layout.noisy);
    branched(layout, &[Branch { sees, rows }])
}

/// Visibility of a pass in which these branches take the place of the one noisy block, in this order.
///
/// # Errors
/// As [`pass`].
pub fn branched(layout: PassLayout, branches: &[Branch]) -> Result<Visibility> {
    if layout.clean > 0 {
        check(layout.clean.max(layout.clean_block), layout.clean_block)?;
    }
    let mut keys = vec![
        KeyCode {
            time: 0,
            group: NO_GROUP
        };
        layout.committed
    ];
    let mut queries = Vec::with_capacity(layout.clean);
    // The time of the last of so many clean positions.
    let time = |clean: usize| clean.div_ceil(layout.clean_block.max(1)) as i32;
    for i in 0..layout.clean {
        let (time, group) = (time(i + 1), NO_GROUP);
        queries.push(QueryCode { limit: time, group });
        keys.push(KeyCode { time, group });
    }
    for (group, branch) in branches.iter().enumerate() {
        let (limit, group) = (time(branch.sees), group as i32);
        queries.extend(vec![QueryCode { limit, group }; branch.rows]);
        keys.extend(vec![KeyCode { time: NEVER, group }; branch.rows]);
    }
    Ok(Visibility { queries, keys })
}

fn check(len: usize, block_size: usize) -> Result<()> {
    if block_size == 0 || block_size > len {
        return Err(Error::BlockSize { block_size, len });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sees(v: &Visibility, q: usize, k: usize) -> bool {
        let (q, k) = (v.queries[q], v.keys[k]);
        k.time <= q.limit || (k.group >= 0 && k.group == q.group)
    }

    #[test]
    fn noisy_blocks_see_themselves_and_earlier_clean_blocks_only() {
        let (n, b) = (12, 4);
        let v = noisy_clean(n, b).unwrap();
        for q in 0..n {
            for k in 0..n {
                assert_eq!(sees(&v, q, k), q / b == k / b, "noisy {q} to noisy {k}");
                assert_eq!(sees(&v, q, n + k), k / b < q / b, "noisy {q} to clean {k}");
                assert!(!sees(&v, n + q, k), "clean {q} must not see noisy {k}");
                assert_eq!(sees(&v, n + q, n + k), k / b <= q / b, "clean {q} to clean {k}");
            }
        }
    }

    #[test]
    fn a_causal_context_is_read_up_to_the_block() {
        let (n, b) = (11, 4);
        let v = noisy_causal(n, b).unwrap();
        for q in 0..n {
            for k in 0..n {
                assert_eq!(sees(&v, q, k), q / b == k / b, "noisy {q} to noisy {k}");
                assert_eq!(sees(&v, q, n + k), k < q / b * b, "noisy {q} to clean {k}");
                assert!(!sees(&v, n + q, k), "clean {q} must not see noisy {k}");
                assert_eq!(sees(&v, n + q, n + k), k <= q, "clean {q} to clean {k}");
            }
        }
    }

    #[test]
    fn a_pass_shows_cache_and_clean_blocks_to_the_noisy_block() {
        let layout = PassLayout {
            committed: 3,
            clean: 4,
            clean_block: 2,
            noisy: 2,
        };
        assert_eq!(layout.blocks(), [0..2, 2..4, 4..6]);
        let v = pass(layout).unwrap();
        assert_eq!((v.queries.len(), v.keys.len()), (6, 9));
        assert!((0..9).all(|k| sees(&v, 4, k)), "the noisy block sees everything");
        assert!(
            (0..5).all(|k| sees(&v, 0, k)) && (5..9).all(|k| !sees(&v, 0, k)),
            "the first clean block sees the cache and itself"
        );
        assert!((0..7).all(|k| sees(&v, 2, k)) && (7..9).all(|k| !sees(&v, 2, k)));
    }

    #[test]
    fn branches_see_the_clean_rows_before_them_and_themselves() {
        let layout = PassLayout {
            committed: 3,
            clean: 3,
            clean_block: 1,
            noisy: 0,
        };
        let branches = [(0, 2), (1, 2), (3, 1)].map(|(sees, rows)| Branch { sees, rows });
        let blocks = layout.blocks_of(&branches.map(|branch| branch.rows));
        assert_eq!(blocks, [0..1, 1..2, 2..3, 3..5, 5..7, 7..8]);
        let v = branched(layout, &branches).unwrap();
        assert_eq!((v.queries.len(), v.keys.len()), (8, 11));
        for (row, block) in blocks
            .iter()
            .enumerate()
            .flat_map(|(at, block)| block.clone().map(move |row| (row, at)))
        {
            for key in 0..11_usize {
                let wanted = match (key.checked_sub(3), row.checked_sub(3)) {
                    (None, _) => true,
                    (Some(key), None) => key <= row,
                    (Some(key), Some(_)) if key < 3 => key < branches[block - 3].sees,
                    (Some(key), Some(_)) => blocks[block].contains(&key),
                };
                assert_eq!(sees(&v, row, key), wanted, "row {row}, key {key}");
            }
        }
    }

    #[test]
    fn impossible_block_sizes_are_errors() {
        assert!(noisy_clean(8, 0).is_err());
        assert!(noisy_clean(8, 9).is_err());
    }
}
