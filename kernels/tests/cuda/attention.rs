//! Attention over full, partial, empty, shared and separate plans.

use crate::compare::{DTYPES, compare, gpu, numbers, on_cpu, tolerance};
use candle_core::{DType, Device, Result, Tensor};
use drdiff_kernels::{KeyCode, QueryCode, TILE, TilePlan, Visibility, put_rows, tile_attention};
use drdiff_testkit::{Inputs, assert_close_within};
use std::sync::Arc;

const SCALE: f64 = 0.15;

fn sequence(
    queries: usize,
    keys: usize,
    query: impl Fn(i32) -> (i32, i32),
    key: impl Fn(i32) -> (i32, i32),
) -> Visibility {
    let query_code = |i| QueryCode {
        limit: query(i).0,
        group: query(i).1,
    };
    let key_code = |i| KeyCode {
        time: key(i).0,
        group: key(i).1,
    };
    Visibility {
        queries: (0..queries as i32).map(query_code).collect(),
        keys: (0..keys as i32).map(key_code).collect(),
    }
}

fn causal(queries: usize, keys: usize) -> Visibility {
    let shift = keys as i32 - queries as i32;
    sequence(queries, keys, |i| (i + shift, -1), |i| (i, -1))
}

/// Blocks that see themselves both ways and all before them.
fn blocks(length: usize, size: i32) -> Visibility {
    sequence(length, length, |i| (i / size * size - 1, i / size), |i| (i, i / size))
}

/// Tiles that see other tiles here and there: neighbours share some of their lists, and lists are long.
fn scattered(length: usize) -> Visibility {
    sequence(length, length, |i| (-1, i / 64 * 7 % 5), |i| (i, i / 64 * 3 % 5))
}

/// Any codes, some queries without a key.
fn random(queries: usize, keys: usize, seed: u64) -> Visibility {
    let mut inputs = Inputs::new(seed);
    let [limits, groups] = [keys + 1, 6].map(|below| inputs.whole(queries, below));
    let [times, key_groups] = [2 * keys, 6].map(|below| inputs.whole(keys, below));
    let query = |i: i32| (limits[i as usize] as i32 - 1, groups[i as usize] as i32 - 1);
    let key = |i: i32| (times[i as usize] as i32, key_groups[i as usize] as i32 - 1);
    sequence(queries, keys, query, key)
}

/// Heads of q and of k and v, and their width.
struct Heads(usize, usize, usize);

fn check(dtype: DType, Heads(heads, key_heads, width): Heads, batch: &[Visibility]) -> Result<()> {
    let (queries, keys) = (batch[0].queries.len(), batch[0].keys.len());
    let mut inputs = Inputs::new((queries * 1000 + keys) as u64);
    let size = batch.len().max(2);
    // q, k and v are views into wider tensors, as after a fused projection or in a cache.
    let q = numbers(&mut inputs, &[size, queries, heads + 1, width])?;
    let kv = numbers(&mut inputs, &[size, keys + 3, 2 * key_heads, width])?;
    let what = format!("attention {queries} x {keys} of {heads}/{key_heads} x {width}");
    compare(&what, dtype, &[q, kv], &[], |vars| {
        let plan = Arc::new(TilePlan::new(batch).unwrap());
        let q = vars[0].narrow(2, 1, heads).unwrap();
        let kv = vars[1].narrow(1, 2, keys).unwrap();
        let (k, v) = (
            kv.narrow(2, 0, key_heads).unwrap(),
            kv.narrow(2, key_heads, key_heads).unwrap(),
        );
        tile_attention(&q, &k, &v, &plan, SCALE).unwrap().out
    })
}

#[test]
fn dense_plans() -> Result<()> {
    for dtype in DTYPES {
        for (queries, keys) in [
            (1, 1),
            (1, 200),
            (63, 63),
            (64, 64),
            (65, 63),
            (200, 130),
            (64, 1000),
            (300, 300),
            (700, 1000),
        ] {
            check(dtype, Heads(2, 2, 64), &[Visibility::dense(queries, keys)])?;
            check(dtype, Heads(4, 2, 128), &[Visibility::dense(queries, keys)])?;
        }
    }
    Ok(())
}

#[test]
fn sparse_plans() -> Result<()> {
    for dtype in DTYPES {
        for (queries, keys) in [(63, 65), (65, 65), (200, 200), (130, 333)] {
            for width in [64, 128] {
                check(dtype, Heads(2, 1, width), &[causal(queries, keys)])?;
                check(dtype, Heads(2, 2, width), &[random(queries, keys, 1)])?;
                check(
                    dtype,
                    Heads(3, 1, width),
                    &[random(queries, keys, 2), random(queries, keys, 3)],
                )?;
            }
        }
        check(dtype, Heads(2, 2, 64), &[blocks(1000, 16)])?;
        check(dtype, Heads(1, 1, 128), &[blocks(400, 48)])?;
        check(dtype, Heads(2, 1, 64), &[scattered(1100)])?;
        check(dtype, Heads(2, 1, 128), &[scattered(1100)])?;
    }
    Ok(())
}

/// Whole tiles that read one tile each, by a plan without codes.
#[test]
fn one_tile_each() -> Result<()> {
    for dtype in DTYPES {
        for (reads, width) in [
            (vec![0], 64),
            (vec![2, 0, 0, 3, 2, 2, 2], 64),
            (vec![1, 4, 1], 128),
            (vec![1, 0], 8),
        ] {
            let mut inputs = Inputs::new(reads.len() as u64);
            let q = numbers(&mut inputs, &[2, reads.len() * TILE, 4, width])?;
            let kv = numbers(&mut inputs, &[2, 5 * TILE, 4, width])?;
            let what = format!("attention of {reads:?} x {width}");
            compare(&what, dtype, &[q, kv], &[], |vars| {
                let plan = Arc::new(TilePlan::one_tile_each(&reads, 5).unwrap());
                let (k, v) = (vars[1].narrow(2, 0, 2).unwrap(), vars[1].narrow(2, 2, 2).unwrap());
                tile_attention(&vars[0], &k, &v, &plan, SCALE).unwrap().out
            })?;
        }
    }
    Ok(())
}

#[test]
fn odd_widths_take_the_simple_kernels() -> Result<()> {
    for dtype in DTYPES {
        for width in [2, 6, 32, 80, 256] {
            check(dtype, Heads(2, 1, width), &[random(70, 140, width as u64)])?;
        }
    }
    Ok(())
}

#[test]
fn queries_without_keys() -> Result<()> {
    for dtype in DTYPES {
        let nothing = sequence(70, 70, |_| (-1, -1), |i| (i, -1));
        check(dtype, Heads(2, 2, 64), &[nothing])?;
        let mut some = Visibility::dense(200, 200);
        some.queries[3] = QueryCode::PADDING;
        some.queries[66] = QueryCode::PADDING;
        some.keys[10] = KeyCode::PADDING;
        check(dtype, Heads(2, 2, 64), &[some])?;
    }
    Ok(())
}

#[test]
fn log_sum_exp() -> Result<()> {
    for dtype in DTYPES {
        let plan = || Arc::new(TilePlan::new(&[random(200, 130, 9)]).unwrap());
        let [q, k] = [200, 130].map(|length| numbers(&mut Inputs::new(length), &[2, length as usize, 2, 64]).unwrap());
        let lse = |device: &Device, dtype| -> Result<Vec<f64>> {
            let place = |x: &Tensor| x.to_device(device)?.to_dtype(dtype);
            let (q, k) = (place(&q)?, place(&k)?);
            on_cpu(&tile_attention(&q, &k, &k, &plan(), SCALE).unwrap().lse)
        };
        assert_close_within(
            "lse",
            &lse(&gpu(), dtype)?,
            &lse(&Device::Cpu, DType::F32)?,
            tolerance(dtype),
        );
    }
    Ok(())
}

#[test]
fn sequences_with_keys_in_one_tensor() -> Result<()> {
    let seats = [(700, 333), (0, 64), (70, 1), (130, 200)];
    for (dtype, width) in [
        (DType::F32, 64),
        (DType::BF16, 64),
        (DType::BF16, 128),
        (DType::BF16, 80),
    ] {
        let plans = seats.map(|(_, keys)| Arc::new(TilePlan::new(&[random(70, keys, 5)]).unwrap()));
        let plan = || Arc::new(TilePlan::seated(&plans, &seats.map(|(first, _)| first)).unwrap());
        let mut inputs = Inputs::new(width as u64);
        let q = numbers(&mut inputs, &[4, 70, 4, width])?;
        let rows = seats.iter().flat_map(|(first, keys)| *first..first + keys);
        let rows: Vec<u32> = rows.map(|row| row as u32).collect();
        let fresh = numbers(&mut inputs, &[rows.len(), 3 * width])?;
        let run = |device: &Device, dtype| -> Result<[Vec<f64>; 2]> {
            let place = |x: &Tensor| x.to_device(device)?.to_dtype(dtype);
            // What no sequence owns is NaN, and must not matter.
            let bank = Tensor::full(f32::NAN, (1100, 2 * width), device)?.to_dtype(dtype)?;
            let index = Tensor::new(rows.as_slice(), device)?;
            put_rows(&bank, &place(&fresh)?.narrow(1, width, 2 * width)?, &index).unwrap();
            let bank = bank.reshape((1, 1100, 2, width))?;
            let found = tile_attention(&place(&q)?, &bank, &bank, &plan(), SCALE).unwrap();
            Ok([on_cpu(&found.out)?, on_cpu(&found.lse)?])
        };
        let ([out, lse], [wanted, sums]) = (run(&gpu(), dtype)?, run(&Device::Cpu, DType::F32)?);
        assert_close_within("out", &out, &wanted, tolerance(dtype));
        assert_close_within("lse", &lse, &sums, tolerance(dtype));
    }
    Ok(())
}
