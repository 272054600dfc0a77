//! Which chunks rows may choose, row by row.

use drdiff_attention::noisy_clean;
use drdiff_attention::retrieval::{CHUNK, Units, band};
use drdiff_kernels::allowed;

#[test]
fn units_cover_the_rows_and_lie_in_one_block_and_chunk() {
    for block in [1, 8, 16, 48, 64, 100, 256, 448] {
        let len = 448;
        let units = Units::noisy_clean(len, block, 64).unwrap();
        let mut next = 0;
        for unit in units.units() {
            assert_eq!(unit.rows.start, next);
            next = unit.rows.end;
            let (first, last) = (unit.rows.start, unit.rows.end - 1);
            assert_eq!(first / len, last / len);
            assert_eq!(first % len / CHUNK, last % len / CHUNK);
            assert_eq!(first % len / block, last % len / block);
        }
        assert_eq!(next, 2 * len);
        assert!(units.widest() <= CHUNK.min(block));
    }
}

#[test]
fn rows_may_choose_in_parts_of_their_unit() {
    let whole = Units::noisy_clean(448, 100, 64).unwrap();
    for together in [1, 16, 64] {
        let parts = whole.clone().choosing(together);
        assert_eq!(parts.widest(), together);
        let mut next = 0;
        for unit in parts.units() {
            assert_eq!(unit.rows.start, next);
            next = unit.rows.end;
            let whole = whole
                .units()
                .iter()
                .find(|whole| whole.rows.contains(&unit.rows.start))
                .unwrap();
            assert!(unit.rows.end <= whole.rows.end && (unit.rows.start - whole.rows.start).is_multiple_of(together));
            assert!(unit.candidates().eq(whole.candidates()));
        }
        assert_eq!(next, whole.rows());
    }
}

#[test]
fn candidates_are_the_visible_chunks_outside_the_band() {
    for block in [8, 16, 48, 64, 256] {
        for local in [64, 128] {
            let len = 640;
            let units = Units::noisy_clean(len, block, local).unwrap();
            let visibility = noisy_clean(len, block).unwrap();
            let plan = band(local).noisy_clean(len, block).unwrap();
            for unit in units.units() {
                let candidates: Vec<usize> = unit.candidates().collect();
                for row in unit.rows.clone() {
                    let sees = |position: usize| allowed(visibility.queries[row], visibility.keys[len + position]);
                    let tile = |chunk: usize| (len / CHUNK + chunk) as u32;
                    let read = plan.rows().row(row / CHUNK);
                    let want: Vec<usize> = (0..len / CHUNK)
                        .filter(|chunk| (chunk * CHUNK..(chunk + 1) * CHUNK).all(sees))
                        .filter(|chunk| read.iter().all(|entry| entry >> 1 != tile(*chunk)))
                        .collect();
                    assert_eq!(candidates, want, "block {block}, local {local}, row {row}");
                }
            }
        }
    }
}

#[test]
fn a_whole_text_has_candidates_to_both_sides() {
    let (len, local) = (700, 128);
    let units = Units::whole(len, local).unwrap();
    let plan = band(local).whole(len).unwrap();
    assert_eq!(units.chunks(), 10, "the last 60 positions are no chunk");
    for (tile, unit) in units.units().iter().enumerate() {
        let read = plan.rows().row(tile);
        let want: Vec<usize> = (0..10)
            .filter(|chunk| read.iter().all(|entry| entry >> 1 != *chunk as u32))
            .collect();
        assert_eq!(unit.candidates().collect::<Vec<_>>(), want);
    }
    assert_eq!(units.units()[5].candidates().collect::<Vec<_>>(), [0, 1, 2, 8, 9]);
}

#[test]
fn impossible_numbers_are_errors() {
    assert!(Units::noisy_clean(128, 0, 64).is_err());
    assert!(Units::noisy_clean(128, 129, 64).is_err());
    assert!(Units::noisy_clean(128, 16, 100).is_err());
}
