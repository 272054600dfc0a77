//! Attention over disjoint parts of the keys, and what its log-sum-exp is worth to the gradients.

use crate::compare::{DTYPES, compare_taped, gpu, numbers, on_cpu, tolerance};
use candle_core::{DType, Device, Result, Tensor};
use drdiff_kernels::{Attention, KeyCode, QueryCode, TILE, TilePlan, Value, Visibility, merge};
use drdiff_testkit::{Inputs, assert_close_within};
use std::sync::Arc;

const SCALE: f64 = 0.15;

/// A causal plan over the keys of tiles of one parity, or of all; query 3 sees no key.
fn plan(length: usize, parity: Option<usize>) -> Arc<TilePlan> {
    let mut sequence = Visibility {
        queries: (0..length as i32).map(|limit| QueryCode { limit, group: -1 }).collect(),
        keys: (0..length as i32).map(|time| KeyCode { time, group: -1 }).collect(),
    };
    sequence.queries[3] = QueryCode::PADDING;
    for (index, key) in sequence.keys.iter_mut().enumerate() {
        if parity.is_some_and(|parity| index / TILE % 2 != parity) {
            *key = KeyCode::PADDING;
        }
    }
    Arc::new(TilePlan::new(&[sequence]).unwrap())
}

/// Output and log-sum-exp as one value; a query without keys counts as 0.
fn both(out: &Value, lse: &Value) -> drdiff_kernels::Result<Value> {
    let lse = lse.through(|lse| Ok(lse.affine(0.25, 0.0)?.exp()?.transpose(1, 2)?.unsqueeze(3)?))?;
    let lse = lse.through(|lse| Ok(lse.broadcast_as(out.tensor().shape())?.to_dtype(out.tensor().dtype())?))?;
    out.add(&lse)
}

#[test]
fn log_sum_exps_have_gradients() -> Result<()> {
    for dtype in DTYPES {
        for (length, width) in [(5, 64), (130, 64), (200, 128), (70, 6)] {
            let mut inputs = Inputs::new(length as u64);
            let mut draw = |heads: usize| numbers(&mut inputs, &[2, length, heads, width]);
            let x = [draw(4)?, draw(2)?, draw(2)?];
            let what = format!("attention {length} x {width} with log-sum-exp");
            compare_taped(&what, dtype, &x, &[], |x, _| {
                let (out, lse) = x[0].tile_attention(&x[1], &x[2], &plan(length, None), SCALE)?;
                both(&out, &lse)
            })?;
            let what = format!("attention {length} x {width} of two parts");
            compare_taped(&what, dtype, &x, &[], |x, _| {
                let part = |parity| x[0].tile_attention(&x[1], &x[2], &plan(length, Some(parity)), SCALE);
                let ((out_a, lse_a), (out_b, lse_b)) = (part(0)?, part(1)?);
                let (out, lse) = Value::merge([(&out_a, &lse_a), (&out_b, &lse_b)])?;
                both(&out, &lse)
            })?;
        }
    }
    Ok(())
}

#[test]
fn merged_parts() -> Result<()> {
    for dtype in DTYPES {
        for (batch, length, heads, width) in [(1, 1, 1, 2), (2, 65, 3, 64), (3, 7, 5, 63), (1, 1000, 4, 128)] {
            let mut inputs = Inputs::new(length as u64);
            let mut part = |hidden: usize| -> Result<[Tensor; 2]> {
                let (rows, lses) = (batch * heads * length, [batch, heads, length]);
                let lse = numbers(&mut inputs, &lses)?.flatten_all()?.to_vec1::<f32>()?;
                // Every fourth query has no keys in the first part, every third none in the second.
                let lse = (0..rows).map(|row| if row % hidden == 0 { f32::NEG_INFINITY } else { lse[row] });
                let lse = Tensor::from_vec(lse.collect::<Vec<_>>(), &lses, &Device::Cpu)?;
                Ok([numbers(&mut inputs, &[batch, length, heads, width])?, lse])
            };
            let parts = [part(4)?, part(3)?];
            let run = |device: &Device, dtype: DType| -> Result<[Vec<f64>; 2]> {
                let place = |[out, lse]: &[Tensor; 2]| -> Result<Attention> {
                    Ok(Attention {
                        out: out.to_device(device)?.to_dtype(dtype)?,
                        lse: lse.to_device(device)?,
                    })
                };
                let merged = merge([&place(&parts[0])?, &place(&parts[1])?]).unwrap();
                Ok([on_cpu(&merged.out)?, on_cpu(&merged.lse)?])
            };
            let (found, wanted) = (run(&gpu(), dtype)?, run(&Device::Cpu, DType::F32)?);
            for (name, (found, wanted)) in ["out", "lse"].into_iter().zip(found.iter().zip(&wanted)) {
                let what = format!("merged {name} {batch} x {length} x {heads} x {width} {dtype:?}");
                assert_close_within(&what, found, wanted, tolerance(dtype));
            }
        }
    }
    Ok(())
}
