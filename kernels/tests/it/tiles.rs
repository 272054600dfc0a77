//! Attention over plans that are chosen tile by tile.

use candle_core::{Result, Tensor, Var};
use drdiff_kernels::{TILE, TilePlan, Visibility, tile_attention};
use drdiff_testkit::{Inputs, assert_close, tensor, values};
use std::sync::Arc;

const SCALE: f64 = 0.3;
const LENGTH: usize = 4 * TILE + 7;

/// No code of single positions says this: each tile reads itself and every third one after it, wrapping around.
fn reads(query_tile: usize, key_tile: usize) -> bool {
    (key_tile + 2 * query_tile).is_multiple_of(3)
}

fn tiles(length: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..length)
        .step_by(TILE)
        .map(move |start| (start, TILE.min(length - start)))
}

/// The keys that a query tile reads, joined, so that dense attention over them is the twin.
fn read_by(x: &Tensor, query_tile: usize) -> Result<Tensor> {
    let parts = tiles(LENGTH)
        .enumerate()
        .filter(|&(key_tile, _)| reads(query_tile, key_tile))
        .map(|(_, (start, size))| x.narrow(1, start, size))
        .collect::<Result<Vec<_>>>()?;
    Tensor::cat(&parts, 1)
}

fn twin(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let mut out = Vec::new();
    for (tile, (start, size)) in tiles(LENGTH).enumerate() {
        let (k, v) = (read_by(k, tile)?, read_by(v, tile)?);
        let plan = Arc::new(TilePlan::new(&[Visibility::dense(size, k.dim(1)?)]).unwrap());
        out.push(
            tile_attention(&q.narrow(1, start, size)?, &k, &v, &plan, SCALE)
                .unwrap()
                .out,
        );
    }
    Tensor::cat(&out, 1)
}

#[test]
fn chosen_tiles_are_read_whole_and_no_others() -> Result<()> {
    let mut inputs = Inputs::new(11);
    let shape = [2, LENGTH, 2, 8];
    let count = shape.iter().product();
    let mut draw = || Var::from_tensor(&tensor(&inputs.numbers(count), &shape)?);
    let (q, k, v, weights) = (draw()?, draw()?, draw()?, draw()?.as_detached_tensor());
    let plan = Arc::new(TilePlan::from_tiles(LENGTH, LENGTH, reads));
    let out = tile_attention(&q, &k, &v, &plan, SCALE).unwrap().out;
    let expected = twin(&q, &k, &v)?;
    assert_close("out", &values(&out)?, &values(&expected)?);
    let grads = (out * &weights)?.sum_all()?.backward()?;
    let wanted = (expected * weights)?.sum_all()?.backward()?;
    for (name, var) in [("dq", &q), ("dk", &k), ("dv", &v)] {
        assert_close(
            name,
            &values(grads.get(var).unwrap())?,
            &values(wanted.get(var).unwrap())?,
        );
    }
    Ok(())
}
