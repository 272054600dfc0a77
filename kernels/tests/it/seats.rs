//! Sequences whose keys lie in one tensor.

use candle_core::{Device, Result, Tensor};
use drdiff_kernels::naive::{self, AttentionShape};
use drdiff_kernels::{TilePlan, Visibility, put_rows, tile_attention};
use drdiff_testkit::{Inputs, assert_close, tensor, values};
use std::sync::Arc;

const WIDTH: usize = 6;
const SCALE: f64 = 0.4;

/// First key and number of keys of each sequence: out of order, with gaps, and of several lengths.
const SEATS: [(usize, usize); 3] = [(300, 130), (3, 64), (100, 65)];
const ROWS: usize = 440;

fn seated() -> Arc<TilePlan> {
    let plans = SEATS.map(|(_, keys)| TilePlan::new(&[Visibility::dense(5, keys)]).unwrap());
    Arc::new(TilePlan::seated(&plans.each_ref(), &SEATS.map(|(first, _)| first)).unwrap())
}

/// `[1, ROWS, 1, WIDTH]`, whose rows that no sequence has are NaN.
fn bank(inputs: &mut Inputs) -> Vec<f64> {
    let mut bank = vec![f64::NAN; ROWS * WIDTH];
    for (first, keys) in SEATS {
        bank[first * WIDTH..(first + keys) * WIDTH].copy_from_slice(&inputs.numbers(keys * WIDTH));
    }
    bank
}

#[test]
fn each_sequence_reads_its_own_keys_alone() -> Result<()> {
    let mut inputs = Inputs::new(4);
    let (k, v, q) = (bank(&mut inputs), bank(&mut inputs), inputs.numbers(3 * 5 * 2 * WIDTH));
    let of = |bank: &[f64]| tensor(bank, &[1, ROWS, 1, WIDTH]);
    let found = tile_attention(&tensor(&q, &[3, 5, 2, WIDTH])?, &of(&k)?, &of(&v)?, &seated(), SCALE).unwrap();
    let (mut outs, mut lses) = (Vec::new(), Vec::new());
    for ((first, keys), q) in SEATS.iter().zip(q.chunks(5 * 2 * WIDTH)) {
        let own = first * WIDTH..(first + keys) * WIDTH;
        let shape = AttentionShape {
            batch: 1,
            queries: 5,
            keys: *keys,
            heads: 2,
            key_heads: 1,
            width: WIDTH,
        };
        let visible = [Visibility::dense(5, *keys)];
        let (out, lse) = naive::attention(q, &k[own.clone()], &v[own], shape, &visible, SCALE);
        outs.extend(out);
        lses.extend(lse);
    }
    assert_close("out", &values(&found.out)?, &outs);
    assert_close("lse", &values(&found.lse)?, &lses);
    Ok(())
}

#[test]
fn plans_that_do_not_fit_are_refused() {
    let plan = |queries, keys| TilePlan::new(&[Visibility::dense(queries, keys)]).unwrap();
    assert!(TilePlan::seated(&[plan(5, 3), plan(4, 3)], &[0, 3]).is_err());
    assert!(TilePlan::seated(&[plan(5, 3)], &[0, 3]).is_err());
    assert!(TilePlan::seated::<TilePlan>(&[], &[]).is_err());
    let both = TilePlan::new(&[Visibility::dense(5, 3), Visibility::dense(5, 3)]).unwrap();
    assert!(TilePlan::seated(&[both], &[0]).is_err());
    let q = tensor(&[1.0; 3 * 5 * WIDTH], &[3, 5, 1, WIDTH]).unwrap();
    let short = tensor(&[1.0; 400 * WIDTH], &[1, 400, 1, WIDTH]).unwrap();
    assert!(tile_attention(&q, &short, &short, &seated(), SCALE).is_err());
}

#[test]
fn rows_are_put_where_the_index_says() -> Result<()> {
    let table = Tensor::zeros((4, 2), candle_core::DType::F32, &Device::Cpu)?;
    let rows = Tensor::new(&[[1f32, 2., 9.], [3., 4., 9.]], &Device::Cpu)?.narrow(1, 0, 2)?;
    let index = Tensor::new(&[3u32, 1], &Device::Cpu)?;
    put_rows(&table.narrow(0, 0, 4)?, &rows, &index).unwrap();
    let after = [[0f32, 0.], [3., 4.], [0., 0.], [1., 2.]];
    assert_eq!(table.to_vec2::<f32>()?, after);
    let mut lower = table.narrow(0, 2, 2)?;
    put_rows(&lower, &rows, &Tensor::new(&[0u32, 1], &Device::Cpu)?).unwrap();
    assert_eq!(table.to_vec2::<f32>()?[1..], [[3f32, 4.], [1., 2.], [3., 4.]]);
    assert!(put_rows(&lower, &rows, &index).is_err(), "row 3 of 2");
    lower = lower.t()?;
    assert!(put_rows(&lower, &rows, &index).is_err());
    Ok(())
}
