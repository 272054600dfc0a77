//! Choices by score, and lists of what was chosen: the same numbers as on the CPU, not only near ones.

use crate::compare::gpu;
use candle_core::{DType, Device, Result, Tensor};
use drdiff_kernels::{embedding, fill_runs, strongest};
use drdiff_testkit::{Inputs, tensor};

/// Scores with many equal ones, some infinite and some absent; a whole row is absent, and a whole unit lowest.
fn scores(units: usize, widest: usize, columns: usize) -> Result<Tensor> {
    let mut inputs = Inputs::new((units * 100 + widest * 10 + columns) as u64);
    let count = units * widest * columns;
    let mut scores = inputs.numbers(count);
    for (score, kind) in scores.iter_mut().zip(inputs.whole(count, 20)) {
        *score = match kind {
            0 => f64::NAN,
            1 => f64::NEG_INFINITY,
            2 => -0.0,
            3..12 => (*score * 4.0).round() / 4.0,
            _ => *score,
        };
    }
    scores[..columns].fill(f64::NAN);
    if units > 1 {
        scores[widest * columns..2 * widest * columns].fill(f64::NEG_INFINITY);
    }
    tensor(&scores, &[units, widest, columns])
}

/// Ranges of all kinds: everything, what lies outside a band, any ends, and nothing.
fn candidates(units: usize, columns: usize) -> Result<Tensor> {
    let ends = Inputs::new(units as u64).whole(4 * units, columns + 3);
    let ranges = ends.chunks(4).enumerate().flat_map(|(unit, ends)| match unit % 4 {
        0 => [0, columns, columns, columns],
        1 => [0, ends[0].min(ends[1]), ends[0].max(ends[1]), columns],
        2 => [ends[0], ends[1], ends[2], ends[3]],
        _ => [0, 0, columns, columns],
    });
    let ranges: Vec<u32> = ranges.map(|end| end as u32).collect();
    Tensor::from_vec(ranges, (units, 4), &Device::Cpu)
}

fn check(scores: &Tensor, candidates: &Tensor, slots: usize) -> Result<()> {
    let wanted = strongest(scores, candidates, slots).unwrap().to_vec2::<u32>()?;
    let (on_gpu, ranges) = (scores.to_device(&gpu())?, candidates.to_device(&gpu())?);
    let found = strongest(&on_gpu, &ranges, slots).unwrap().to_vec2::<u32>()?;
    for (unit, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        assert_eq!(found, wanted, "{:?}, {slots} slots, unit {unit}", scores.dims());
    }
    Ok(())
}

#[test]
fn choices() -> Result<()> {
    for columns in [1, 7, 8, 255, 256, 257, 1000, 20_000] {
        for (units, widest) in [(1, 1), (5, 3), (9, 16), (4, 64)] {
            let (scores, candidates) = (scores(units, widest, columns)?, candidates(units, columns)?);
            for slots in [1, 4, 8, 16, 64, 300] {
                check(&scores, &candidates, slots)?;
            }
        }
    }
    Ok(())
}

#[test]
fn choices_of_many_units_and_of_views() -> Result<()> {
    let (scores, candidates) = (scores(3000, 2, 72)?, candidates(3000, 72)?);
    check(&scores, &candidates, 8)?;
    // Parts of longer tensors, as those of a slab are; their addresses are multiples of 16 bytes or not.
    for (first, units) in [(1, 7), (8, 500)] {
        check(
            &scores.narrow(0, first, units)?,
            &candidates.narrow(0, first, units)?,
            3,
        )?;
    }
    let flat = scores.flatten_all()?.narrow(0, 1, 72 * 40)?.reshape((20, 2, 72))?;
    check(&flat, &candidates.narrow(0, 4, 20)?, 5)
}

#[test]
fn a_unit_may_have_more_columns_than_a_block_has_shared_memory() -> Result<()> {
    let (scores, candidates) = (scores(2, 1, 262_144)?, candidates(2, 262_144)?);
    check(&scores, &candidates, 8)?;
    check(&scores, &candidates, 64)
}

#[test]
fn where_there_is_nothing_nothing_is_chosen() -> Result<()> {
    let nothing = |units, columns| Tensor::zeros((units, 3, columns), DType::F32, &gpu());
    let ranges = Tensor::zeros((2, 4), DType::U32, &gpu())?;
    let chosen = strongest(&nothing(2, 0)?, &ranges, 2).unwrap();
    assert_eq!(chosen.to_vec2::<u32>()?, [[u32::MAX; 2]; 2]);
    assert_eq!(strongest(&nothing(2, 5)?, &ranges, 0).unwrap().dims(), [2, 0]);
    Ok(())
}

#[test]
fn lists() -> Result<()> {
    for (runs, longest) in [(1, 1), (7, 64), (200, 3), (3000, 100)] {
        let mut inputs = Inputs::new((runs + longest) as u64);
        let (counts, gaps) = (inputs.whole(runs, longest + 1), inputs.whole(runs, 5));
        let values = inputs.whole(runs, 1 << 20);
        let mut len = 0;
        let mut starts = Vec::new();
        for (count, gap) in counts.iter().zip(gaps) {
            starts.push(len + gap);
            len += gap + count;
        }
        let numbers = starts.iter().chain(&values).chain(&counts);
        let table: Vec<u32> = numbers.map(|number| *number as u32).collect();
        let table = Tensor::from_vec(table, (3, runs), &Device::Cpu)?;
        let run = |device: &Device, len, fill, step| -> Result<Vec<u32>> {
            let table = table.to_device(device)?;
            let [a, b, c] = [table.get(0)?, table.get(1)?, table.get(2)?];
            fill_runs([&a, &b, &c], len, (fill, step)).unwrap().to_vec1()
        };
        for (fill, step) in [(0, 1), (9, 0), (u32::MAX, 3)] {
            let wanted = run(&Device::Cpu, len + 2, fill, step)?;
            assert_eq!(run(&gpu(), len + 2, fill, step)?, wanted, "{runs} runs");
            // What lies behind the end is left out.
            assert_eq!(run(&gpu(), len / 2, fill, step)?, wanted[..len / 2], "{runs} runs, cut");
        }
    }
    let none = Tensor::zeros(0, DType::U32, &gpu())?;
    assert_eq!(fill_runs([&none; 3], 3, (7, 1)).unwrap().to_vec1::<u32>()?, [7; 3]);
    assert_eq!(fill_runs([&none; 3], 0, (7, 1)).unwrap().dims(), [0]);
    Ok(())
}

#[test]
fn ids_outside_the_table_give_zeros() -> Result<()> {
    let table = tensor(&Inputs::new(3).numbers(3 * 16), &[3, 16])?.to_device(&gpu())?;
    let ids = Tensor::new(&[2, 3, 0, u32::MAX], &gpu())?;
    let rows = embedding(&ids, &table).unwrap().to_vec2::<f32>()?;
    let table = table.to_vec2::<f32>()?;
    assert_eq!(rows, [table[2].clone(), vec![0.0; 16], table[0].clone(), vec![0.0; 16]]);
    Ok(())
}
