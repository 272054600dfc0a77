//! RMS norm, QK norm with rotation, SwiGLU.

use crate::compare::{DTYPES, compare, numbers};
use candle_core::{Result, Tensor, Var};
use drdiff_kernels::{Rotary, qk_norm_rope, rms_norm, swiglu};
use drdiff_testkit::Inputs;
use std::slice::from_ref;

const SHAPES: [(usize, usize); 8] = [
    (1, 2),
    (3, 7),
    (5, 63),
    (65, 64),
    (200, 200),
    (1000, 768),
    (33, 1025),
    (70, 2048),
];

#[test]
fn norms() -> Result<()> {
    for dtype in DTYPES {
        for (rows, width) in SHAPES {
            let mut inputs = Inputs::new(width as u64);
            let (x, gain) = (numbers(&mut inputs, &[rows, width])?, numbers(&mut inputs, &[width])?);
            let what = format!("rms_norm {rows} x {width}");
            compare(&what, dtype, from_ref(&x), &[gain], |vars| {
                rms_norm_of(&vars[0], Some(&vars[1]))
            })?;
            compare(&what, dtype, &[x], &[], |vars| rms_norm_of(&vars[0], None))?;
        }
    }
    Ok(())
}

fn rms_norm_of(x: &Tensor, gain: Option<&Var>) -> Tensor {
    drdiff_kernels::rms_norm(x, gain.map(Var::as_tensor), 1e-6).unwrap()
}

#[test]
fn views() -> Result<()> {
    for dtype in DTYPES {
        let x = numbers(&mut Inputs::new(3), &[4, 6, 48])?;
        let narrowed = |x: &Var| x.narrow(2, 8, 32).unwrap();
        let turned = |x: &Var| x.transpose(0, 1).unwrap();
        compare("norm of columns", dtype, from_ref(&x), &[], |vars| {
            rms_norm_of(&narrowed(&vars[0]), None)
        })?;
        compare("norm turned", dtype, from_ref(&x), &[], |vars| {
            rms_norm_of(&turned(&vars[0]), None)
        })?;
        compare("swiglu of columns", dtype, from_ref(&x), &[], |vars| {
            swiglu(&narrowed(&vars[0])).unwrap()
        })?;
        compare("swiglu turned", dtype, &[x], &[], |vars| {
            swiglu(&turned(&vars[0])).unwrap()
        })?;
    }
    Ok(())
}

#[test]
fn zeros_have_finite_gradients() -> Result<()> {
    for dtype in DTYPES {
        let (x, gain) = (
            numbers(&mut Inputs::new(1), &[2, 64])?.zeros_like()?,
            numbers(&mut Inputs::new(2), &[64])?,
        );
        for eps in [0.0, 1e-6] {
            compare("norm of zeros", dtype, from_ref(&x), from_ref(&gain), |vars| {
                rms_norm(&vars[0], Some(&vars[1]), eps).unwrap()
            })?;
        }
    }
    Ok(())
}

#[test]
fn rotation() -> Result<()> {
    for dtype in DTYPES {
        for (batch, length, heads, width, own) in [
            (1, 1, 1, 64, false),
            (2, 65, 3, 64, true),
            (2, 200, 5, 128, false),
            (3, 63, 2, 32, true),
            (1, 7, 3, 16, false),
            (2, 3, 1, 256, true),
        ] {
            let mut inputs = Inputs::new(length as u64);
            // The heads are a view into a fused projection.
            let fused = numbers(&mut inputs, &[batch, length, 3 * heads, width])?;
            let gain = numbers(&mut inputs, &[width])?;
            let positions: Vec<Vec<i64>> = (0..if own { batch } else { 1 })
                .map(|b| (0..length).map(|t| (7 * t + b) as i64).collect())
                .collect();
            let what = format!("rotation {batch} x {length} x {heads} x {width}");
            compare(&what, dtype, &[fused], &[gain], |vars| {
                let rotary = Rotary::new(&positions, width, 10_000.0, vars[0].device()).unwrap();
                qk_norm_rope(&vars[0].narrow(2, heads, heads).unwrap(), &vars[1], Some(1e-6), &rotary).unwrap()
            })?;
        }
    }
    Ok(())
}

#[test]
fn swiglu_rows() -> Result<()> {
    for dtype in DTYPES {
        for (rows, half) in SHAPES {
            let x = (numbers(&mut Inputs::new(half as u64), &[rows, 2 * half])? * 2.0)?;
            compare(&format!("swiglu {rows} x {half}"), dtype, &[x], &[], |vars| {
                swiglu(&vars[0]).unwrap()
            })?;
        }
    }
    Ok(())
}
