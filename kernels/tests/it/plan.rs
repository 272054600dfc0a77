use drdiff_kernels::{KeyCode, QueryCode, TILE, TilePlan, Visibility, allowed};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn query() -> impl Strategy<Value = QueryCode> {
    (-1..200i32, -1..6i32).prop_map(|(limit, group)| QueryCode { limit, group })
}

fn key() -> impl Strategy<Value = KeyCode> {
    prop_oneof![
        8 => (0..200i32, -1..6i32).prop_map(|(time, group)| KeyCode { time, group }),
        1 => Just(KeyCode::PADDING),
    ]
}

/// Codes drawn one by one, sorted half of the time so that full and empty tiles occur.
fn visibility(queries: usize, keys: usize) -> impl Strategy<Value = Visibility> {
    let codes = (
        prop::collection::vec(query(), queries),
        prop::collection::vec(key(), keys),
    );
    (codes, any::<bool>()).prop_map(|((mut queries, mut keys), sorted)| {
        if sorted {
            queries.sort_by_key(|query| query.limit);
            keys.sort_by_key(|key| key.time);
        }
        Visibility { queries, keys }
    })
}

pub(crate) fn batches() -> impl Strategy<Value = Vec<Visibility>> {
    let length = || prop_oneof![Just(1), Just(7), Just(63), Just(64), Just(65), Just(200)];
    (length(), length(), 1..3usize)
        .prop_flat_map(|(queries, keys, count)| prop::collection::vec(visibility(queries, keys), count))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_allowed_pair_lies_in_one_listed_tile(batch in batches()) {
        let plan = TilePlan::new(&batch).unwrap();
        let (mut pairs, mut tiles) = (0u64, [0u64; 2]);
        for (s, sequence) in batch.iter().enumerate() {
            let mut seen = BTreeSet::new();
            for (qt, queries) in sequence.queries.chunks(TILE).enumerate() {
                for &entry in plan.rows().row(s * plan.query_tiles() + qt) {
                    let (kt, partial) = ((entry >> 1) as usize, entry & 1 == 1);
                    prop_assert!(seen.insert((qt, kt)), "tile listed twice");
                    tiles[usize::from(partial)] += 1;
                    let keys = &sequence.keys[kt * TILE..((kt + 1) * TILE).min(plan.keys())];
                    let count = queries.iter().map(|&q| keys.iter().filter(|&&k| allowed(q, k)).count()).sum::<usize>();
                    prop_assert!(count > 0, "an empty tile is listed");
                    prop_assert!(partial || count == queries.len() * TILE, "a full tile is not full");
                    pairs += count as u64;
                }
            }
            let columns: BTreeSet<_> = (0..plan.key_tiles())
                .flat_map(|kt| plan.cols().row(s * plan.key_tiles() + kt).iter().map(move |entry| ((entry >> 1) as usize, kt)))
                .collect();
            prop_assert_eq!(&seen, &columns, "the transpose lists other tiles");
        }
        let every = batch.iter().flat_map(|s| s.queries.iter().map(|&q| s.keys.iter().filter(|&&k| allowed(q, k)).count() as u64));
        prop_assert_eq!(pairs, every.sum::<u64>(), "an allowed pair is in no tile");
        let cost = plan.cost();
        prop_assert_eq!((cost.pairs, cost.full_tiles, cost.partial_tiles), (pairs, tiles[0], tiles[1]));
        prop_assert_eq!(plan.query_codes().len(), batch.len() * plan.queries());
    }
}

#[test]
fn a_transposed_entry_keeps_its_kind() {
    let causal = Visibility {
        queries: (0..200).map(|limit| QueryCode { limit, group: -1 }).collect(),
        keys: (0..200).map(|time| KeyCode { time, group: -1 }).collect(),
    };
    let plan = TilePlan::new(&[causal]).unwrap();
    assert_eq!(plan.rows().row(1), &[0, 1 << 1 | 1]);
    assert_eq!(plan.cols().row(0), &[1, 1 << 1, 2 << 1, 3 << 1]);
    assert_eq!(plan.cost().pairs, 200 * 201 / 2);
}

#[test]
fn lists_leave_out_tiles_and_keep_the_rule() {
    let causal = Visibility {
        queries: (0..300).map(|limit| QueryCode { limit, group: -1 }).collect(),
        keys: (0..300).map(|time| KeyCode { time, group: -1 }).collect(),
    };
    let all = TilePlan::from_lists(causal.clone(), |_| (0..5).collect()).unwrap();
    let dense = TilePlan::new(std::slice::from_ref(&causal)).unwrap();
    assert_eq!(
        (all.rows(), all.cols(), all.cost()),
        (dense.rows(), dense.cols(), dense.cost())
    );
    // Each its own tile and the first, and one that lies ahead and has no allowed pair.
    let some = TilePlan::from_lists(causal.clone(), |tile| match tile {
        0 => vec![0],
        4 => vec![0, 4],
        tile => vec![0, tile, tile + 1],
    })
    .unwrap();
    assert_eq!(some.rows().row(0), &[1]);
    assert_eq!(some.rows().row(3), &[0, 3 << 1 | 1]);
    assert_eq!(some.cols().row(0), &[1, 1 << 1, 2 << 1, 3 << 1, 4 << 1]);
    let refused = |list: Vec<usize>| {
        TilePlan::from_lists(causal.clone(), |_| list.clone())
            .unwrap_err()
            .to_string()
    };
    assert!(refused(vec![1, 0]).contains("ascending"));
    assert!(refused(vec![1, 1]).contains("ascending"));
    assert!(refused(vec![5]).contains("below 5"));
}

#[test]
fn what_cannot_be_planned_is_refused() {
    let message = |batch: &[Visibility]| TilePlan::new(batch).unwrap_err().to_string();
    assert!(message(&[]).contains("no sequences"));
    assert!(
        message(&[Visibility::dense(1, 2), Visibility::dense(1, 3)]).contains("sequence 1 has 1 queries and 3 keys")
    );
    let mut endless = Visibility::dense(1, 1);
    endless.queries[0].limit = i32::MAX;
    assert!(message(&[endless]).contains("padding"));
    let mut early = Visibility::dense(1, 1);
    early.keys[0].time = -1;
    assert!(message(&[early]).contains("negative time"));
}
