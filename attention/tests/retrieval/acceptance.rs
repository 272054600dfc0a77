//! What a right choice gives: exact attention to what was chosen, nothing of anything else.

use std::sync::Arc;

use candle_core::Tensor;
use drdiff_attention::retrieval::{CHUNK, Units};
use drdiff_kernels::{TilePlan, Visibility, tile_attention};
use drdiff_testkit::{assert_close, tensor, values};

use crate::naive::{Case, dot};
use crate::ops::{case, check_gradients, choose, out};

/// The score of the null slot with which it takes no weight.
const NOTHING: f64 = -1e4;

/// The chunks that each unit chose, ascending.
fn chosen(case: &Case) -> Vec<Vec<usize>> {
    let selection = choose(case);
    let units = case.batch * case.units.units().len();
    let of = |unit| selection.of(unit).iter().map(|chunk| *chunk as usize).collect();
    (0..units).map(of).collect()
}

/// The rows of one chunk in all that is remembered of a case, with as many numbers for each row.
fn chunk(numbers: &[f64], chunk: usize, each: usize) -> &[f64] {
    &numbers[chunk * each..][..each]
}

#[test]
fn weights_that_know_each_chunks_mass_give_exact_attention() {
    let units = Units::whole(512, 64).unwrap();
    let (rows, chunks, width) = (units.rows(), units.chunks(), 4);
    let mut case = case(units, 1, chunks, 51);
    (case.heads, case.groups, case.landmark) = (1, 1, chunks);
    // As many keys and values as queries.
    case.inputs[..3]
        .iter_mut()
        .for_each(|input| input.truncate(rows * width));
    let [q, k, v, ..] = &case.inputs;
    let scale = (width as f64).powf(-0.5);
    let power = |row: usize, key: usize| (scale * dot(&q[row * width..][..width], &k[key * width..][..width])).exp();
    let mass = |row: usize, chunk: usize| {
        (chunk * CHUNK..(chunk + 1) * CHUNK)
            .map(|key| power(row, key))
            .sum::<f64>()
    };
    // Landmarks along the axes: a row's score for a chunk is one of its numbers, the logarithm of the chunk's mass.
    let root = (chunks as f64).sqrt();
    let landmarks = (0..chunks * chunks).map(|at| if at / chunks == at % chunks { root } else { 0.0 });
    let looking: Vec<f64> = (0..rows * chunks)
        .map(|at| mass(at / chunks, at % chunks).ln())
        .collect();
    let mut wanted = vec![0.0; rows * width];
    for unit in case.units.units() {
        let keys: Vec<usize> = unit
            .candidates()
            .flat_map(|chunk| chunk * CHUNK..(chunk + 1) * CHUNK)
            .collect();
        for row in unit.rows.clone() {
            let sum: f64 = keys.iter().map(|key| power(row, *key)).sum();
            for (key, i) in keys.iter().flat_map(|key| (0..width).map(move |i| (*key, i))) {
                wanted[row * width + i] += power(row, key) / sum * v[key * width + i];
            }
        }
    }
    (case.inputs[3], case.inputs[4], case.inputs[5]) = (looking, landmarks.collect(), vec![NOTHING]);
    assert_close("the softmax of all candidates", &out(&case), &wanted);
}

#[test]
fn one_chunk_without_a_null_slot_is_the_kernels_attention_to_it() {
    // The first chunk reads the last and the last the first.
    let mut case = case(Units::whole(192, 64).unwrap(), 1, 1, 52);
    case.inputs[5] = vec![NOTHING];
    assert_eq!(chosen(&case), [vec![2], vec![], vec![0]]);
    let got = out(&case);
    let (all, memory) = (CHUNK * case.heads * case.width, CHUNK * case.groups * case.width);
    let plan = Arc::new(TilePlan::new(&[Visibility::dense(CHUNK, CHUNK)]).unwrap());
    for (rows, read) in [(0, 2), (2, 0)] {
        let of = |index: usize, at, each, heads| -> Tensor {
            tensor(chunk(&case.inputs[index], at, each), &[1, CHUNK, heads, case.width]).unwrap()
        };
        let q = of(0, rows, all, case.heads);
        let [k, v] = [1, 2].map(|index| of(index, read, memory, case.groups));
        let attention = tile_attention(&q, &k, &v, &plan, (case.width as f64).powf(-0.5)).unwrap();
        assert_close("one chunk", chunk(&got, rows, all), &values(&attention.out).unwrap());
    }
}

#[test]
fn empty_slots_give_nothing_and_learn_nothing() {
    // In a text of four chunks the inner two have one candidate for three slots, and the others two.
    let case = case(Units::whole(256, 64).unwrap(), 2, 3, 53);
    let chosen = chosen(&case);
    assert_eq!(chosen[..4], [vec![2, 3], vec![3], vec![0], vec![0, 1]]);
    check_gradients(&case);
    // Nobody in two chunks chooses anything.
    let case = self::case(Units::noisy_clean(256, 64, 64).unwrap(), 1, 3, 54);
    let gradients = check_gradients(&case);
    let (found, chosen) = (out(&case), self::chosen(&case));
    let each = [case.heads * case.width, case.landmark];
    let mut idle = 0;
    for (unit, chosen) in case.units.units().iter().zip(&chosen) {
        let mut sorted = chosen.clone();
        sorted.dedup();
        assert_eq!(&sorted, chosen, "a chunk is chosen once");
        let of = |numbers: &[f64], each: usize| numbers[unit.rows.start * each..unit.rows.end * each].to_vec();
        let zero = |numbers: Vec<f64>| numbers.iter().all(|x| *x == 0.0);
        let none = chosen.is_empty();
        assert_eq!(zero(of(&found, each[0])), none, "what is given");
        assert_eq!(zero(of(&gradients[0], each[0])), none, "dq");
        assert_eq!(zero(of(&gradients[3], each[1])), none, "dr");
        idle += usize::from(none);
    }
    assert_eq!(idle, 4, "the first two chunks of either half");
}

/// A window of one chunk in a text of `len` positions, whose rows all have the same last number in their queries for landmarks.
fn window(len: usize, slots: usize) -> Case {
    let mut case = case(Units::window(len, 256..320, 64).unwrap(), 1, slots, 55);
    case.inputs[3].chunks_mut(3).for_each(|r| r[2] = 1.0);
    case
}

#[test]
fn chunks_that_rank_below_the_chosen_ones_change_not_a_bit() {
    let near = window(640, 2);
    let mut far = window(1280, 2);
    let before = chosen(&near);
    assert_eq!(before[0].len(), 2);
    for index in [1, 2, 4] {
        let known = near.inputs[index].len();
        far.inputs[index][..known].copy_from_slice(&near.inputs[index]);
    }
    for index in [0, 3, 5] {
        far.inputs[index].clone_from(&near.inputs[index]);
    }
    far.inputs[4][10 * 3..].chunks_mut(3).for_each(|l| l[2] = -100.0);
    assert_eq!((chosen(&far), out(&far)), (before.clone(), out(&near)), "appended");
    // Two candidates that nobody chose change places.
    let unit = &near.units.units()[0];
    let others: Vec<usize> = unit.candidates().filter(|chunk| !before[0].contains(chunk)).collect();
    let swapped = swap(&near, others[0], others[1]);
    assert_eq!((chosen(&swapped), out(&swapped)), (before, out(&near)), "swapped");
}

/// The same case with two chunks in each other's places.
fn swap(case: &Case, a: usize, b: usize) -> Case {
    let mut swapped = case.clone();
    let memory = CHUNK * case.groups * case.width;
    for (index, each) in [(1, memory), (2, memory), (4, case.landmark)] {
        for (to, from) in [(a, b), (b, a)] {
            swapped.inputs[index][to * each..][..each].copy_from_slice(chunk(&case.inputs[index], from, each));
        }
    }
    swapped
}

#[test]
fn the_order_of_the_chunks_does_not_matter() {
    let case = window(640, 3);
    let before = chosen(&case)[0].clone();
    let other = case.units.units()[0]
        .candidates()
        .find(|chunk| !before.contains(chunk))
        .unwrap();
    let moved = swap(&swap(&case, before[0], before[2]), before[1], other);
    assert_ne!(chosen(&moved)[0], before);
    assert_close("permuted", &out(&moved), &out(&case));
}

#[test]
fn rows_that_look_for_the_same_choose_alike_together_and_alone() {
    let whole = Units::noisy_clean(448, 100, 64).unwrap();
    let mut case = case(whole.clone(), 2, 2, 56);
    for unit in whole.units() {
        for sequence in 0..2 {
            let rows = sequence * whole.rows() + unit.rows.start..sequence * whole.rows() + unit.rows.end;
            let first = case.inputs[3][rows.start * 3..][..3].to_vec();
            case.inputs[3][rows.start * 3..rows.end * 3].copy_from_slice(&first.repeat(rows.len()));
        }
    }
    let wanted = out(&case);
    assert!(wanted.iter().any(|x| *x != 0.0));
    for together in [1, 16] {
        case.units = whole.clone().choosing(together);
        assert_close(&format!("{together} together"), &out(&case), &wanted);
    }
}

#[test]
fn a_chunk_that_all_choose_is_read_and_learned_from_by_all() {
    // Ragged lengths; in the second, rows of a window choose in sixteens.
    for (units, batch) in [
        (Units::whole(458, 64).unwrap(), 1),
        (Units::window(650, 320..650, 128).unwrap().choosing(16), 2),
    ] {
        let mut case = case(units, batch, 2, 57);
        let chunks = case.units.chunks();
        case.inputs[3].chunks_mut(3).for_each(|r| r[2] = 1.0);
        for (index, l) in case.inputs[4].chunks_mut(3).enumerate() {
            l[2] = if index % chunks == 1 { 6.0 } else { 0.0 };
        }
        let mut wanted = case.chosen();
        let units = case.units.units().iter().cycle();
        for (unit, chosen) in units.zip(&wanted) {
            assert_eq!(chosen.contains(&1), unit.candidates().any(|chunk| chunk == 1));
        }
        assert!(wanted.iter().filter(|chosen| chosen.contains(&1)).count() > 4);
        let found = case.out(&case.inputs, &wanted);
        wanted.iter_mut().for_each(|chosen| chosen.sort_unstable());
        assert_eq!(chosen(&case), wanted);
        assert_close("hot", &out(&case), &found);
        if batch == 1 {
            check_gradients(&case);
        }
    }
}
