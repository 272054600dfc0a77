//! Attention query by query.

use candle_core::Result;
use drdiff_kernels::naive::{self, AttentionShape};
use drdiff_kernels::{KeyCode, QueryCode, TilePlan, Visibility, tile_attention};
use drdiff_testkit::{Inputs, assert_close, tensor, values};
use std::sync::Arc;

const SCALE: f64 = 0.3;
const SHAPE: AttentionShape = AttentionShape {
    batch: 1,
    queries: 70,
    keys: 210,
    heads: 4,
    key_heads: 2,
    width: 24,
};

/// Keys of all, keys that become visible one after another, and groups; the first query sees nothing.
fn visible() -> Visibility {
    let group = |at: usize| if at.is_multiple_of(3) { (at / 12) as i32 } else { -1 };
    Visibility {
        queries: (0..SHAPE.queries)
            .map(|at| QueryCode {
                limit: at as i32 - 1,
                group: if at == 0 { -1 } else { group(at) },
            })
            .collect(),
        keys: (0..SHAPE.keys)
            .map(|at| KeyCode {
                time: if at < 128 { (at / 3) as i32 } else { i32::MAX },
                group: group(at - at.min(128)),
            })
            .collect(),
    }
}

#[test]
fn each_query_has_the_bits_that_it_has_alone() -> Result<()> {
    let (mut inputs, visible) = (Inputs::new(7), visible());
    let AttentionShape {
        queries,
        keys,
        heads,
        key_heads,
        width,
        ..
    } = SHAPE;
    let q = inputs.numbers(queries * heads * width);
    let (k, v) = (
        inputs.numbers(keys * key_heads * width),
        inputs.numbers(keys * key_heads * width),
    );
    let run = |q: &[f64], [k, v]: [&[f64]; 2], plan: TilePlan| {
        let shape = [1, plan.keys(), key_heads, width];
        let (k, v) = (tensor(k, &shape)?, tensor(v, &shape)?);
        let q = tensor(q, &[1, plan.queries(), heads, width])?;
        Ok::<_, candle_core::Error>(tile_attention(&q, &k, &v, &Arc::new(plan), SCALE).unwrap())
    };
    let plan = TilePlan::new(std::slice::from_ref(&visible)).unwrap().query_by_query();
    let found = run(&q, [&k, &v], plan)?;
    let (out, lse) = naive::attention(&q, &k, &v, SHAPE, std::slice::from_ref(&visible), SCALE);
    assert_close("out", &values(&found.out)?, &out);
    assert_close("lse", &values(&found.lse)?, &lse);
    let found = found.out.flatten_all()?.to_vec1::<f32>()?;
    for (query, code) in visible.queries.iter().enumerate().skip(1) {
        let seen = |key: &KeyCode| key.time <= code.limit || (key.group >= 0 && key.group == code.group);
        let rows = |x: &[f64]| {
            let rows = x
                .chunks(key_heads * width)
                .zip(&visible.keys)
                .filter(|(_, key)| seen(key));
            rows.flat_map(|(row, _)| row.to_vec()).collect::<Vec<f64>>()
        };
        let (k, v) = (rows(&k), rows(&v));
        let own = query * heads * width..(query + 1) * heads * width;
        let plan = TilePlan::new(&[Visibility::dense(1, k.len() / (key_heads * width))]).unwrap();
        let alone = run(&q[own.clone()], [&k, &v], plan)?
            .out
            .flatten_all()?
            .to_vec1::<f32>()?;
        assert_eq!(found[own], alone, "query {query}");
    }
    Ok(())
}
