//! The operations that only a tape differentiates, on both devices from the same numbers.

use crate::compare::{DTYPES, compare_runs, numbers, on_cpu};
use candle_core::{DType, Device, Result, Tensor, Var};
use drdiff_kernels::{Rotary, SelfAttend, Tape, TilePlan, Value, Visibility};
use drdiff_testkit::Inputs;
use std::sync::Arc;

/// Compares what `op` gives for values (`activations`, of `dtype` on the GPU) and parameters (f32), and all gradients.
fn compare_taped(
    what: &str,
    dtype: DType,
    activations: &[Tensor],
    parameters: &[Tensor],
    op: impl Fn(&[Value], &[Tensor]) -> drdiff_kernels::Result<Value>,
) -> Result<()> {
    compare_runs(what, dtype, |device: &Device, dtype: DType| {
        let place = |x: &Tensor, dtype| Var::from_tensor(&x.to_device(device)?.to_dtype(dtype)?);
        let activations = activations
            .iter()
            .map(|x| place(x, dtype))
            .collect::<Result<Vec<_>>>()?;
        let parameters = parameters
            .iter()
            .map(|x| place(x, DType::F32))
            .collect::<Result<Vec<_>>>()?;
        let tensors = |vars: &[Var]| vars.iter().map(|var| var.as_tensor().clone()).collect::<Vec<_>>();
        let tape = Tape::new();
        let values: Vec<Value> = tensors(&activations).iter().map(|x| tape.enter(x)).collect();
        let out = op(&values, &tensors(&parameters)).unwrap();
        let weights = numbers(&mut Inputs::new(77), out.tensor().dims())?
            .to_device(device)?
            .to_dtype(out.tensor().dtype())?;
        let loss = out
            .through(|y| Ok((y * &weights)?.to_dtype(DType::F32)?.sum_all()?))
            .unwrap();
        let grads = tape.backward(&loss).unwrap();
        let of = |var: &Var| on_cpu(grads.get(var.as_tensor()).unwrap());
        std::iter::once(on_cpu(out.tensor()))
            .chain(activations.iter().chain(&parameters).map(of))
            .collect()
    })
}

#[test]
fn residual_norms() -> Result<()> {
    for dtype in DTYPES {
        // Rows of one number, of two and four register steps, and too wide for registers.
        for (rows, width) in [
            (3, 2),
            (65, 63),
            (200, 64),
            (1000, 512),
            (300, 768),
            (9000, 1024),
            (33, 1025),
            (70, 2048),
        ] {
            let mut inputs = Inputs::new(width as u64);
            let x = [
                numbers(&mut inputs, &[rows, width])?,
                numbers(&mut inputs, &[rows, width])?,
            ];
            let gain = [numbers(&mut inputs, &[width])?];
            let what = format!("residual norm {rows} x {width}");
            compare_taped(&format!("{what}, both"), dtype, &x, &gain, |x, gain| {
                let (sum, normed) = x[0].residual_norm(&x[1], &gain[0], 1e-6)?;
                sum.add(&normed)
            })?;
            compare_taped(&format!("{what}, norm alone"), dtype, &x, &gain, |x, gain| {
                Ok(x[0].residual_norm(&x[1], &gain[0], 1e-6)?.1)
            })?;
        }
    }
    Ok(())
}

#[test]
fn sums() -> Result<()> {
    for dtype in DTYPES {
        for count in [1, 7, 8, 2047, 2049, 100_000] {
            let mut inputs = Inputs::new(count as u64);
            let x = [numbers(&mut inputs, &[count])?, numbers(&mut inputs, &[count])?];
            compare_taped(&format!("sum of {count}"), dtype, &x, &[], |x, _| x[0].add(&x[1]))?;
        }
    }
    Ok(())
}

#[test]
fn fused_heads() -> Result<()> {
    for dtype in DTYPES {
        for (batch, length, heads, key_heads, width, own) in [
            (1, 1, 1, 1, 64, false),
            (2, 65, 4, 4, 64, true),
            (2, 130, 6, 2, 128, false),
            (3, 63, 3, 1, 32, true),
        ] {
            let mut inputs = Inputs::new(length as u64);
            let qkv = numbers(&mut inputs, &[batch, length, heads + 2 * key_heads, width])?;
            let gains = [numbers(&mut inputs, &[width])?, numbers(&mut inputs, &[width])?];
            let plan = Arc::new(TilePlan::new(&[Visibility::dense(length, length)]).unwrap());
            let positions: Vec<Vec<i64>> = (0..if own { batch } else { 1 })
                .map(|b| (0..length).map(|t| (7 * t + b) as i64).collect())
                .collect();
            let what = format!("fused heads {batch} x {length} x {heads} + 2 {key_heads} x {width}");
            compare_taped(&what, dtype, &[qkv], &gains, |x, gains| {
                x[0].self_attention(&SelfAttend {
                    q_gain: &gains[0],
                    k_gain: &gains[1],
                    rotary: &Rotary::new(&positions, width, 10_000.0, x[0].tensor().device())?,
                    plan: &plan,
                    heads,
                    scale: (width as f64).powf(-0.5),
                })
            })?;
        }
    }
    Ok(())
}
