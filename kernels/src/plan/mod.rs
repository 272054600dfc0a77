//! Attention plans: which tiles of 64 keys each tile of 64 queries reads.

mod classify;
mod codes;
mod csr;
mod tiles;

pub use codes::{KeyCode, QueryCode, Visibility, allowed};
pub use csr::Csr;
pub(crate) use csr::split;

use crate::{Error, Result};
use std::borrow::Borrow;
use std::ops::Range;

use classify::{Kind, Summary};

/// Positions in a tile.
pub const TILE: usize = 64;

/// What attention over a plan costs, for one head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlanCost {
    /// Tiles whose every pair is allowed.
    pub full_tiles: u64,
    /// Tiles that need the rule.
    pub partial_tiles: u64,
    /// Allowed pairs.
    pub pairs: u64,
}

impl PlanCost {
    fn plus(self, other: Self) -> Self {
        Self {
            full_tiles: self.full_tiles + other.full_tiles,
            partial_tiles: self.partial_tiles + other.partial_tiles,
            pairs: self.pairs + other.pairs,
        }
    }
}

/// The tiles to read, for one sequence that the whole batch shares or for each sequence of the batch.
///
/// Every allowed pair lies in exactly one listed tile. A key tile of fewer than [`TILE`] keys is always partial, so
/// that a full tile can be read without bounds on the key side.
#[derive(Debug)]
pub struct TilePlan {
    sequences: usize,
    queries: usize,
    keys: usize,
    query_codes: Vec<QueryCode>,
    key_codes: Vec<KeyCode>,
    rows: Csr,
    cols: Csr,
    cost: PlanCost,
    /// Where in a tensor of keys that all sequences share each has its own; empty if each has a tensor of its own.
    seats: Vec<Range<usize>>,
    /// Whether a CPU attends query by query.
    query_by_query: bool,
    /// The plan on a GPU, once something has run there.
    #[cfg(feature = "cuda")]
    pub(crate) device: std::sync::OnceLock<crate::cuda::plan::DevicePlan>,
}

impl TilePlan {
    /// Makes the plan of a batch; one entry serves a batch of any size.
    ///
    /// # Errors
    /// [`Error::Plan`] if there is no sequence, if the counts differ between sequences, or if a key's time is negative
    /// or a query's limit is `i32::MAX`.
    pub fn new(batch: &[Visibility]) -> Result<Self> {
        let first = batch.first().ok_or_else(|| Error::Plan("no sequences".to_owned()))?;
        let (queries, keys) = (first.queries.len(), first.keys.len());
        for (index, sequence) in batch.iter().enumerate() {
            check(index, sequence, queries, keys)?;
        }
        Ok(Self::assemble(batch, |_| 0..keys.div_ceil(TILE)))
    }

    /// The plan of one sequence that reads, of the key tiles that `tiles` lists for a query tile (ascending), those with
    /// a pair that the codes allow; it serves a batch of any size. Takes time for the listed tiles only, where
    /// [`TilePlan::new`] looks at every pair of tiles.
    ///
    /// # Errors
    /// As [`TilePlan::new`], and if a list is not ascending or names a tile that is not there.
    pub fn from_lists(sequence: Visibility, tiles: impl Fn(usize) -> Vec<usize>) -> Result<Self> {
        check(0, &sequence, sequence.queries.len(), sequence.keys.len())?;
        let key_tiles = sequence.keys.len().div_ceil(TILE);
        let lists: Vec<Vec<usize>> = (0..sequence.queries.len().div_ceil(TILE)).map(tiles).collect();
        for (query_tile, list) in lists.iter().enumerate() {
            if !list.is_sorted_by(|a, b| a < b) || list.last().is_some_and(|last| *last >= key_tiles) {
                return Err(Error::Plan(format!(
                    "the tiles of query tile {query_tile} are not ascending numbers below {key_tiles}"
                )));
            }
        }
        Ok(Self::assemble(&[sequence], |query_tile| {
            lists[query_tile].iter().copied()
        }))
    }

    /// The plan over those of the `candidates` of a query tile, ascending key tiles, that hold an allowed pair.
    fn assemble<I: IntoIterator<Item = usize>>(batch: &[Visibility], candidates: impl Fn(usize) -> I) -> Self {
        let (queries, keys) = batch.first().map_or((0, 0), |s| (s.queries.len(), s.keys.len()));
        let key_tiles = keys.div_ceil(TILE);
        let mut cost = PlanCost::default();
        let mut rows = Vec::with_capacity(batch.len() * queries.div_ceil(TILE));
        let mut cols = Vec::with_capacity(batch.len() * key_tiles);
        for sequence in batch {
            let key_codes: Vec<_> = sequence.keys.chunks(TILE).collect();
            let summaries: Vec<_> = key_codes.iter().map(|codes| Summary::of_keys(codes)).collect();
            let mut columns = vec![Vec::new(); key_tiles];
            for (query_tile, codes) in sequence.queries.chunks(TILE).enumerate() {
                let query = Summary::of_queries(codes);
                let mut row = Vec::new();
                for key_tile in candidates(query_tile) {
                    let (pairs, kind) = classify::classify(codes, &query, key_codes[key_tile], &summaries[key_tile]);
                    if kind == Kind::Empty {
                        continue;
                    }
                    let partial = kind == Kind::Partial;
                    cost.pairs += pairs;
                    cost.partial_tiles += u64::from(partial);
                    cost.full_tiles += u64::from(!partial);
                    row.push(csr::entry(key_tile, partial));
                    columns[key_tile].push(csr::entry(query_tile, partial));
                }
                rows.push(row);
            }
            cols.extend(columns);
        }
        Self {
            sequences: batch.len(),
            queries,
            keys,
            query_codes: batch.iter().flat_map(|s| s.queries.iter().copied()).collect(),
            key_codes: batch.iter().flat_map(|s| s.keys.iter().copied()).collect(),
            rows: Csr::from_rows(rows),
            cols: Csr::from_rows(cols),
            cost,
            seats: Vec::new(),
            query_by_query: false,
            #[cfg(feature = "cuda")]
            device: std::sync::OnceLock::new(),
        }
    }

    /// Plans of single sequences with equally many queries as the plan of all of them, over keys that lie in one tensor
    /// `[1, S, G, D]`: those of sequence `i` from `first[i]` on. Sequences may have different numbers of keys. Such a plan
    /// has no backward pass.
    ///
    /// # Errors
    /// [`Error::Plan`] if there is no plan, one is of several sequences, or the counts do not fit.
    pub fn seated<P: Borrow<Self>>(plans: &[P], first: &[usize]) -> Result<Self> {
        let plans = || plans.iter().map(Borrow::borrow);
        let queries = plans().next().map_or(0, Self::queries);
        let coded = |plan: &Self| plan.query_codes.len() == plan.queries && plan.key_codes.len() == plan.keys;
        let alike =
            |plan: &Self| plan.sequences == 1 && plan.seats.is_empty() && plan.queries == queries && coded(plan);
        if first.is_empty() || plans().len() != first.len() || !plans().all(alike) {
            return Err(Error::Plan(format!(
                "{} plans for {} seats, or not of single sequences of {queries} queries with codes",
                plans().len(),
                first.len()
            )));
        }
        let keys = plans().map(Self::keys).max().unwrap_or_default();
        let padding = |plan: &Self| vec![KeyCode::PADDING; keys - plan.keys];
        let rows = plans().flat_map(|plan| (0..plan.query_tiles()).map(|tile| plan.rows.row(tile).to_vec()));
        Ok(Self {
            sequences: first.len(),
            queries,
            keys,
            query_codes: plans().flat_map(|plan| plan.query_codes.iter().copied()).collect(),
            key_codes: plans()
                .flat_map(|plan| plan.key_codes.iter().copied().chain(padding(plan)))
                .collect(),
            rows: Csr::from_rows(rows),
            cols: Csr::from_rows([]),
            cost: plans().fold(PlanCost::default(), |sum, plan| sum.plus(plan.cost)),
            seats: plans()
                .zip(first)
                .map(|(plan, &first)| first..first + plan.keys)
                .collect(),
            query_by_query: plans().all(|plan| plan.query_by_query),
            #[cfg(feature = "cuda")]
            device: std::sync::OnceLock::new(),
        })
    }

    /// The same plan, by which a CPU attends query by query: each has the same bits as if it were alone with the keys that it sees. Slower than all
    /// queries of a tile together; other devices do not tell.
    #[must_use]
    pub fn query_by_query(self) -> Self {
        Self {
            query_by_query: true,
            ..self
        }
    }

    /// Whether a CPU attends query by query: also where there is one alone.
    #[must_use]
    pub fn is_query_by_query(&self) -> bool {
        self.query_by_query || self.queries == 1
    }

    /// Sequences described; 1 serves a batch of any size.
    #[must_use]
    pub fn sequences(&self) -> usize {
        self.sequences
    }

    /// Queries of a sequence.
    #[must_use]
    pub fn queries(&self) -> usize {
        self.queries
    }

    /// Keys of a sequence, or of the one that has most.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// Where in the one tensor of keys those of each sequence lie; empty if each sequence has a tensor of its own.
    #[must_use]
    pub fn seats(&self) -> &[Range<usize>] {
        &self.seats
    }

    /// Query tiles of a sequence.
    #[must_use]
    pub fn query_tiles(&self) -> usize {
        self.queries.div_ceil(TILE)
    }

    /// Key tiles of a sequence.
    #[must_use]
    pub fn key_tiles(&self) -> usize {
        self.keys.div_ceil(TILE)
    }

    /// The key tiles of each (sequence, query tile).
    #[must_use]
    pub fn rows(&self) -> &Csr {
        &self.rows
    }

    /// The query tiles of each (sequence, key tile): the transpose of [`TilePlan::rows`].
    #[must_use]
    pub fn cols(&self) -> &Csr {
        &self.cols
    }

    /// The codes of all queries, `[sequence][position]`; none where they would decide nothing ([`TilePlan::one_tile_each`]).
    #[must_use]
    pub fn query_codes(&self) -> &[QueryCode] {
        &self.query_codes
    }

    /// The codes of all keys, `[sequence][position]`; none where they would decide nothing.
    #[must_use]
    pub fn key_codes(&self) -> &[KeyCode] {
        &self.key_codes
    }

    /// Tiles and pairs, summed over the plan's sequences.
    #[must_use]
    pub fn cost(&self) -> PlanCost {
        self.cost
    }
}

fn check(index: usize, sequence: &Visibility, queries: usize, keys: usize) -> Result<()> {
    let problem = if (sequence.queries.len(), sequence.keys.len()) != (queries, keys) {
        format!(
            "sequence {index} has {} queries and {} keys, the first has {queries} and {keys}",
            sequence.queries.len(),
            sequence.keys.len()
        )
    } else if sequence.keys.iter().any(|key| key.time < 0) {
        format!("sequence {index} has a key with a negative time")
    } else if sequence.queries.iter().any(|query| query.limit == i32::MAX) {
        format!("sequence {index} has a query without a limit, which would see padding")
    } else {
        return Ok(());
    };
    Err(Error::Plan(problem))
}
