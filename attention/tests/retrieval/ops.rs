//! Choice and attention against the naive twin, forward and backward.

use candle_core::{Device, Tensor, Var};
use drdiff_attention::retrieval::{CHUNK, Chunks, Lists, Queries, Selection, Units, attend, select};
use drdiff_kernels::{Tape, Value};
use drdiff_testkit::{Inputs, assert_close, assert_gradient, tensor, values};

use crate::naive::{Case, dot};

pub(crate) fn case(units: Units, batch: usize, slots: usize, seed: u64) -> Case {
    let (heads, groups, width, landmark) = (4, 2, 4, 3);
    let (rows, chunks) = (batch * units.rows(), batch * units.chunks());
    let mut inputs = Inputs::new(seed);
    let sizes = [
        rows * heads * width,
        chunks * CHUNK * groups * width,
        chunks * CHUNK * groups * width,
        rows * landmark,
        chunks * landmark,
        1,
    ];
    Case {
        units,
        batch,
        slots,
        heads,
        groups,
        width,
        landmark,
        asking: None,
        inputs: sizes.map(|size| inputs.numbers(size)),
    }
}

fn tensors(case: &Case) -> [Tensor; 6] {
    let (rows, chunks) = (case.batch * case.units.rows(), case.batch * case.units.chunks());
    let memory = vec![chunks * CHUNK, case.groups, case.width];
    let shapes = [
        vec![rows, case.heads * case.width],
        memory.clone(),
        memory,
        vec![rows, case.landmark],
        vec![chunks, case.landmark],
        vec![1],
    ];
    let mut index = 0;
    shapes.map(|shape| {
        index += 1;
        tensor(&case.inputs[index - 1], &shape).unwrap()
    })
}

pub(crate) fn choose(case: &Case) -> Selection {
    let [_, _, _, r, l, _] = tensors(case);
    select(&r, &l, (&case.units, case.asking.as_deref()), case.batch, case.slots).unwrap()
}

fn run(case: &Case, selection: &Selection, inputs: [Value; 6]) -> Value {
    let lists = Lists::new(selection, &case.units, case.batch, &Device::Cpu).unwrap();
    let [q, keys, values, r, landmarks, null] = inputs;
    let queries = Queries {
        attention: &q,
        landmark: &r,
        null: &null,
    };
    attend(
        queries,
        &Chunks {
            keys,
            values,
            landmarks,
        },
        &lists,
    )
    .unwrap()
}

/// The result, without learning.
pub(crate) fn out(case: &Case) -> Vec<f64> {
    let inputs = tensors(case).map(|tensor| Value::constant(&tensor));
    values(run(case, &choose(case), inputs).tensor()).unwrap()
}

/// Layouts of all kinds: blocks smaller than a chunk, of odd sizes and larger, one side and both, an end that is not
/// whole, texts without any candidate, rows that choose in parts or each for itself.
fn layouts() -> Vec<Units> {
    vec![
        Units::noisy_clean(512, 16, 64).unwrap(),
        Units::noisy_clean(448, 48, 64).unwrap(),
        Units::noisy_clean(512, 64, 128).unwrap(),
        Units::noisy_clean(512, 256, 64).unwrap(),
        Units::noisy_clean(512, 512, 64).unwrap(),
        Units::noisy_clean(128, 16, 128).unwrap(),
        Units::whole(512, 64).unwrap(),
        Units::whole(650, 128).unwrap(),
        Units::whole(40, 64).unwrap(),
        Units::noisy_clean(448, 48, 64).unwrap().choosing(16),
        Units::whole(512, 64).unwrap().choosing(1),
    ]
}

#[test]
fn choice_and_attention_equal_the_definition() {
    for (seed, units) in layouts().into_iter().enumerate() {
        for slots in [1, 3] {
            let case = case(units.clone(), 2, slots, seed as u64);
            let mut chosen = case.chosen();
            let selection = choose(&case);
            for (unit, chosen) in chosen.iter_mut().enumerate() {
                chosen.sort_unstable();
                let got: Vec<usize> = selection.of(unit).iter().map(|chunk| *chunk as usize).collect();
                assert_eq!(&got, chosen, "layout {seed}, unit {unit}");
            }
            let want = case.out(&case.inputs, &chosen);
            assert_close(&format!("layout {seed}, {slots} slots"), &out(&case), &want);
        }
    }
}

#[test]
fn only_rows_that_ask_choose_where_there_are_any() {
    for (seed, units) in layouts().into_iter().enumerate() {
        let mut case = case(units, 2, 2, seed as u64);
        let among_all = choose(&case);
        // Every seventh row asks, and in the first sequence nobody does.
        let rows = case.units.rows();
        case.asking = Some((0..2 * rows).map(|row| row >= rows && row % 7 == 0).collect());
        let (selection, chosen) = (choose(&case), case.chosen());
        let units = case.units.units().len();
        for (unit, mut want) in chosen.into_iter().enumerate() {
            want.sort_unstable();
            let got: Vec<usize> = selection.of(unit).iter().map(|chunk| *chunk as usize).collect();
            assert_eq!(got, want, "layout {seed}, unit {unit}");
            assert!(unit >= units || selection.of(unit) == among_all.of(unit));
        }
        if case.units.widest() > 7 && case.units.chunks() > 5 {
            assert_ne!(selection, among_all, "layout {seed}");
        }
    }
}

/// Asserts that the gradients of all inputs are those of the definition, and returns them.
pub(crate) fn check_gradients(case: &Case) -> [Vec<f64>; 6] {
    let weights = Inputs::new(99).numbers(case.inputs[0].len());
    let vars = tensors(case).map(|tensor| Var::from_tensor(&tensor).unwrap());
    let tape = Tape::new();
    let start = tape.constant(&Tensor::zeros((), candle_core::DType::F32, &Device::Cpu).unwrap());
    let inputs = vars.each_ref().map(|var| enter(&start, var.as_tensor()));
    let y = run(case, &choose(case), inputs);
    let dy = tensor(&weights, y.tensor().dims()).unwrap();
    let loss = y.through(|y| Ok((y * &dy)?.sum_all()?)).unwrap();
    let gradients = tape.backward(&loss).unwrap();
    let gradients = vars.map(|var| values(gradients.get(var.as_tensor()).unwrap()).unwrap());
    let chosen = case.chosen();
    for (index, name) in ["q", "k", "v", "r", "l", "null"].into_iter().enumerate() {
        let moved = |numbers: &[f64]| {
            let mut inputs = case.inputs.clone();
            inputs[index] = numbers.to_vec();
            dot(&case.out(&inputs, &chosen), &weights)
        };
        assert_gradient(name, moved, &case.inputs[index], &gradients[index]);
    }
    gradients
}

#[test]
fn gradients_are_those_of_the_definition() {
    for (seed, units, batch, slots) in [
        (1, Units::noisy_clean(256, 48, 64).unwrap(), 1, 2),
        (2, Units::whole(330, 64).unwrap(), 2, 2),
        (3, Units::whole(256, 64).unwrap(), 1, 1),
        (4, Units::whole(266, 64).unwrap().choosing(16), 1, 2),
        (5, Units::whole(256, 64).unwrap().choosing(1), 1, 2),
    ] {
        check_gradients(&case(units, batch, slots, seed));
    }
    let mut asked = case(Units::whole(266, 64).unwrap().choosing(16), 1, 2, 6);
    asked.asking = Some((0..266).map(|row| row % 7 == 0).collect());
    check_gradients(&asked);
}

/// A parameter that stands on the tape of `start`.
fn enter(start: &Value, parameter: &Tensor) -> Value {
    let inputs = [start, &Value::parameter(parameter)];
    let [value] = Value::record(&inputs, [parameter.detach()], |[upstream]| Ok(vec![None, upstream]));
    value
}

#[test]
fn of_equal_scores_the_first_wins() {
    let mut case = case(Units::whole(640, 64).unwrap(), 1, 3, 5);
    case.inputs[4].fill(0.5);
    let selection = choose(&case);
    assert_eq!(selection.of(0), [2, 3, 4]);
    assert_eq!(selection.of(9), [0, 1, 2]);
    assert_eq!(selection.of(2), [0, 4, 5]);
}

#[test]
fn what_is_not_chosen_changes_nothing() {
    let mut case = case(Units::noisy_clean(640, 64, 64).unwrap(), 1, 2, 21);
    let (before, selection) = (out(&case), choose(&case));
    // What no unit chose gets other keys and values.
    let units = 0..case.units.units().len();
    let untouched = |chunk: usize| units.clone().all(|unit| !selection.of(unit).contains(&(chunk as u32)));
    let each = CHUNK * case.groups * case.width;
    let mut changed = 0;
    for chunk in (0..case.units.chunks()).filter(|chunk| untouched(*chunk)) {
        case.inputs[1][chunk * each..][..each].fill(3.0);
        case.inputs[2][chunk * each..][..each].fill(3.0);
        changed += 1;
    }
    assert!(changed > 0);
    assert_eq!(out(&case), before);
}

#[test]
fn one_chunk_without_a_null_slot_is_plain_attention_to_it() {
    let mut case = case(Units::whole(256, 64).unwrap(), 1, 1, 31);
    case.inputs[5] = vec![-1e4];
    let got = out(&case);
    // The first unit reads one of the chunks 2 and 3: weight 1, whatever the score.
    let chosen = case.chosen();
    let mut scaled = case.inputs.clone();
    scaled[3].iter_mut().for_each(|r| *r *= 7.0);
    assert_close("weight 1", &got, &case.out(&scaled, &chosen));
}

#[test]
fn rows_without_a_candidate_get_zeros() {
    let case = case(Units::noisy_clean(512, 64, 64).unwrap(), 2, 3, 41);
    let out = out(&case);
    let each = case.heads * case.width;
    let mut zeros = 0;
    for sequence in 0..2 {
        for unit in case.units.units() {
            let none = unit.candidates().next().is_none();
            for row in unit.rows.clone() {
                let row = &out[(sequence * case.units.rows() + row) * each..][..each];
                assert_eq!(row.iter().all(|x| *x == 0.0), none);
            }
            zeros += usize::from(none);
        }
    }
    assert_eq!(zeros, 2 * 4, "the first two chunks of either half");
}
