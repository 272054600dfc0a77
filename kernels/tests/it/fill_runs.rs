//! Lists from their runs.

use candle_core::{Device, Result, Tensor};
use drdiff_kernels::{fill_runs, naive};
use drdiff_testkit::Inputs;

fn columns(numbers: [&[usize]; 3]) -> Result<[Tensor; 3]> {
    let [a, b, c] = numbers.map(|numbers| {
        let numbers: Vec<u32> = numbers.iter().map(|number| *number as u32).collect();
        Tensor::from_slice(&numbers, numbers.len(), &Device::Cpu)
    });
    Ok([a?, b?, c?])
}

#[test]
fn lists_are_those_of_the_twin() -> Result<()> {
    for (runs, longest) in [(0, 1), (1, 1), (7, 64), (200, 3), (65, 100)] {
        let mut inputs = Inputs::new((runs + longest) as u64);
        let (counts, gaps) = (inputs.whole(runs, longest + 1), inputs.whole(runs, 5));
        let values = inputs.whole(runs, 1 << 20);
        let mut len = 0;
        let mut starts: Vec<usize> = Vec::new();
        for (count, gap) in counts.iter().zip(gaps) {
            starts.push(len + gap);
            len += gap + count;
        }
        // In another order than they lie, which plays no part.
        let turned = |numbers: &[usize]| numbers.iter().rev().copied().collect::<Vec<_>>();
        let numbers = [turned(&starts), turned(&values), turned(&counts)];
        let numbers = numbers.each_ref().map(Vec::as_slice);
        let [a, b, c] = columns(numbers)?;
        for (fill, step) in [(0, 1), (9, 0), (u32::MAX, 3)] {
            let found = fill_runs([&a, &b, &c], len + 2, (fill, step))
                .unwrap()
                .to_vec1::<u32>()?;
            let wanted = naive::fill_runs(numbers, len + 2, (fill as usize, step as usize));
            let found: Vec<usize> = found.into_iter().map(|number| number as usize).collect();
            assert_eq!(found, wanted, "{runs} runs of up to {longest}");
        }
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let [a, b, c] = columns([&[0, 4], &[1, 1], &[2, 3]])?;
    let refused = |runs: [&Tensor; 3], len| fill_runs(runs, len, (0, 1)).is_err();
    assert!(!refused([&a, &b, &c], 7));
    assert!(refused([&a, &b, &c], 6), "the second run ends behind the list");
    assert!(refused([&a, &b.narrow(0, 0, 1)?, &c], 7));
    assert!(refused([&a, &b, &c.to_dtype(candle_core::DType::F32)?], 7));
    Ok(())
}
