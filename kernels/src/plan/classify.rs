//! Whether a tile is empty, full or in between, mostly without looking at its 4,096 pairs.

use super::{KeyCode, QueryCode, TILE, allowed};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Empty,
    Partial,
    Full,
}

/// The range of times (limits, for queries) and of groups in a tile.
pub(super) struct Summary {
    time: (i32, i32),
    group: (i32, i32),
}

impl Summary {
    pub(super) fn of_keys(keys: &[KeyCode]) -> Self {
        Self {
            time: range(keys.iter().map(|key| key.time)),
            group: range(keys.iter().map(|key| key.group)),
        }
    }

    pub(super) fn of_queries(queries: &[QueryCode]) -> Self {
        Self {
            time: range(queries.iter().map(|query| query.limit)),
            group: range(queries.iter().map(|query| query.group)),
        }
    }
}

fn range(values: impl Iterator<Item = i32>) -> (i32, i32) {
    values.fold((i32::MAX, i32::MIN), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

/// The allowed pairs of a tile and its kind.
pub(super) fn classify(queries: &[QueryCode], query: &Summary, keys: &[KeyCode], key: &Summary) -> (u64, Kind) {
    let all = (queries.len() * keys.len()) as u64;
    let groups_apart = key.group.1 < 0 || key.group.1 < query.group.0 || key.group.0 > query.group.1;
    let pairs = if key.time.0 > query.time.1 && groups_apart {
        0
    } else if key.time.1 <= query.time.0 {
        all
    } else {
        queries
            .iter()
            .map(|&query| keys.iter().filter(|&&key| allowed(query, key)).count() as u64)
            .sum()
    };
    let kind = match pairs {
        0 => Kind::Empty,
        _ if pairs == all && keys.len() == TILE => Kind::Full,
        _ => Kind::Partial,
    };
    (pairs, kind)
}
