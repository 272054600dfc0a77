//! Choices by the best score of a unit's rows.

use candle_core::{Device, Result, Tensor};
use drdiff_kernels::{naive, strongest};
use drdiff_testkit::{Inputs, tensor};

/// Scores with many equal ones, some infinite, some absent, and candidates of all kinds: empty ranges, ranges that
/// overlap, that end behind the last column, that are turned around.
fn case(units: usize, widest: usize, columns: usize) -> (Vec<f64>, Vec<[usize; 4]>) {
    let mut inputs = Inputs::new((units * 100 + widest * 10 + columns) as u64);
    let mut scores = inputs.numbers(units * widest * columns);
    for (score, kind) in scores.iter_mut().zip(inputs.whole(units * widest * columns, 20)) {
        *score = match kind {
            0 => f64::NAN,
            1 => f64::NEG_INFINITY,
            2 => f64::INFINITY,
            3 => -0.0,
            4..12 => (*score * 4.0).round() / 4.0,
            _ => *score,
        };
    }
    // A column without any score.
    scores.chunks_mut(columns).for_each(|row| row[columns / 2] = f64::NAN);
    let ends = inputs.whole(4 * units, columns + 3);
    let candidates = ends.chunks(4).enumerate().map(|(unit, ends)| match unit % 3 {
        0 => [0, columns, columns, columns],
        1 => [0, ends[0].min(ends[1]), ends[0].max(ends[1]), columns],
        _ => [ends[0], ends[1], ends[2], ends[3]],
    });
    (scores, candidates.collect())
}

fn choose(scores: &Tensor, candidates: &[[usize; 4]], slots: usize) -> Result<Vec<Vec<u32>>> {
    let flat: Vec<u32> = candidates.iter().flatten().map(|end| *end as u32).collect();
    let candidates = Tensor::from_vec(flat, (candidates.len(), 4), &Device::Cpu)?;
    strongest(scores, &candidates, slots).unwrap().to_vec2()
}

#[test]
fn choices_are_those_of_the_twin() -> Result<()> {
    for (units, widest, columns) in [
        (1, 1, 1),
        (6, 5, 7),
        (7, 64, 65),
        (3, 2, 64),
        (9, 7, 1000),
        (70, 3, 200),
        (6, 1, 3000),
    ] {
        let (scores, candidates) = case(units, widest, columns);
        let rows = tensor(&scores, &[units, widest, columns])?;
        for slots in [1, 4, 8, 64, 300] {
            let found = choose(&rows, &candidates, slots)?;
            let wanted = naive::strongest(&scores, (widest, columns), &candidates, slots);
            for (unit, (found, wanted)) in found.iter().zip(wanted).enumerate() {
                let mut wanted: Vec<u32> = wanted.into_iter().map(|column| column as u32).collect();
                wanted.resize(slots, u32::MAX);
                assert_eq!(
                    found, &wanted,
                    "{units} x {widest} x {columns}, {slots} slots, unit {unit}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn of_equal_scores_the_first_wins_and_nan_never() -> Result<()> {
    let nan = f64::NAN;
    let low = f64::NEG_INFINITY;
    #[rustfmt::skip]
    let scores = [
        0.0, nan, 2.0, low, 2.0, nan, -0.0,
        1.0, nan, nan, low, 2.0, 0.0, nan,
    ];
    let scores = tensor(&scores, &[1, 2, 7])?;
    let all = [[0, 7, 7, 7]];
    let none = u32::MAX;
    assert_eq!(choose(&scores, &all, 1)?, [[2]]);
    assert_eq!(choose(&scores, &all, 2)?, [[2, 4]]);
    assert_eq!(choose(&scores, &all, 4)?, [[0, 2, 4, 5]]);
    assert_eq!(choose(&scores, &all, 7)?, [[0, 2, 3, 4, 5, 6, none]]);
    assert_eq!(choose(&scores, &[[1, 3, 4, 6]], 4)?, [[2, 4, 5, none]]);
    assert_eq!(choose(&scores, &[[0, 0, 3, 3]], 2)?, [[none, none]]);
    Ok(())
}

#[test]
fn where_there_is_nothing_nothing_is_chosen() -> Result<()> {
    for (units, widest, columns) in [(2, 3, 0), (2, 0, 3)] {
        let scores = tensor(&[], &[units, widest, columns])?;
        assert_eq!(choose(&scores, &[[0, 3, 3, 3]; 2], 2)?, [[u32::MAX; 2]; 2]);
    }
    let scores = tensor(&[1.0; 6], &[2, 1, 3])?;
    assert_eq!(choose(&scores, &[[0, 3, 3, 3]; 2], 0)?, [[]; 2] as [[u32; 0]; 2]);
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let scores = tensor(&[1.0; 12], &[2, 2, 3])?;
    let candidates = Tensor::zeros((2, 4), candle_core::DType::U32, &Device::Cpu)?;
    let refused = |scores: &Tensor, candidates: &Tensor| strongest(scores, candidates, 2).is_err();
    assert!(!refused(&scores, &candidates));
    assert!(refused(&scores.transpose(1, 2)?, &candidates));
    assert!(refused(&scores, &candidates.narrow(0, 0, 1)?));
    assert!(refused(&scores, &candidates.to_dtype(candle_core::DType::F32)?));
    assert!(refused(&scores.to_dtype(candle_core::DType::F64)?, &candidates));
    Ok(())
}
