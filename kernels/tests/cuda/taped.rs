//! The operations that only a tape differentiates, on both devices from the same numbers.

use crate::compare::{DTYPES, compare_taped, numbers};
use candle_core::Result;
use drdiff_kernels::{HeadNorms, Linear, Rotary, SelfAttend, TilePlan, Visibility};
use drdiff_testkit::Inputs;
use std::sync::Arc;

/// Rows and widths: two numbers, two and four register steps, odd, and too wide for registers.
const SHAPES: [(usize, usize); 8] = [
    (3, 2),
    (65, 63),
    (200, 64),
    (1000, 512),
    (300, 768),
    (9000, 1024),
    (33, 1025),
    (70, 2048),
];

#[test]
fn residual_norms() -> Result<()> {
    for dtype in DTYPES {
        for (rows, width) in SHAPES {
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
fn modulated_norms() -> Result<()> {
    for dtype in DTYPES {
        for (rows, width) in SHAPES {
            let mut inputs = Inputs::new(width as u64);
            let shapes = [[rows, width], [rows, width], [rows, width], [rows, 2 * width]];
            let x = shapes.map(|shape| numbers(&mut inputs, &shape));
            let x: Vec<_> = x.into_iter().collect::<Result<_>>()?;
            let gain = [numbers(&mut inputs, &[width])?];
            let what = format!("modulated norm {rows} x {width}");
            compare_taped(&format!("{what}, both"), dtype, &x, &gain, |x, gain| {
                let (sum, normed) = x[0].modulated_norm(Some([&x[1], &x[2]]), &gain[0], &x[3], 1e-6)?;
                sum.add(&normed)
            })?;
            compare_taped(&format!("{what}, norm alone"), dtype, &x, &gain, |x, gain| {
                Ok(x[0].modulated_norm(Some([&x[1], &x[2]]), &gain[0], &x[3], 1e-6)?.1)
            })?;
            let alone = [x[0].clone(), x[3].clone()];
            compare_taped(&format!("{what}, no branch"), dtype, &alone, &gain, |x, gain| {
                let (sum, normed) = x[0].modulated_norm(None, &gain[0], &x[1], 1e-6)?;
                sum.add(&normed)
            })?;
        }
    }
    Ok(())
}

#[test]
fn gated_sums() -> Result<()> {
    for dtype in DTYPES {
        for count in [1, 7, 8, 2047, 2049, 100_000] {
            let mut inputs = Inputs::new(count as u64);
            let mut draw = || numbers(&mut inputs, &[count]);
            let x = [draw()?, draw()?, draw()?];
            compare_taped(&format!("gated sum of {count}"), dtype, &x, &[], |x, _| {
                x[0].gated_add(&x[1], &x[2])
            })?;
        }
    }
    Ok(())
}

#[test]
fn maps_of_gated_units() -> Result<()> {
    for dtype in DTYPES {
        for (rows, half, width) in [(1, 1, 3), (5, 63, 7), (65, 64, 64), (1000, 200, 128), (300, 1376, 512)] {
            let mut inputs = Inputs::new(half as u64);
            let x = [numbers(&mut inputs, &[rows, 2 * half])?];
            let weight = [numbers(&mut inputs, &[width, half])?];
            let what = format!("map of gated units {rows} x {half} to {width}");
            compare_taped(&what, dtype, &x, &weight, |x, weight| {
                x[0].swiglu_linear(&Linear::Dense(weight[0].clone()))
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
            (1, 7, 2, 2, 16, false),
            (2, 3, 3, 1, 256, true),
        ] {
            let mut inputs = Inputs::new(length as u64);
            let qkv = numbers(&mut inputs, &[batch, length, heads + 2 * key_heads, width])?;
            let gains = [numbers(&mut inputs, &[width])?, numbers(&mut inputs, &[width])?];
            let plan = Arc::new(TilePlan::new(&[Visibility::dense(length, length)]).unwrap());
            let eps = own.then_some(1e-6);
            let positions: Vec<Vec<i64>> = (0..if own { batch } else { 1 })
                .map(|b| (0..length).map(|t| (7 * t + b) as i64).collect())
                .collect();
            let what = format!("fused heads {batch} x {length} x {heads} + 2 {key_heads} x {width}");
            compare_taped(&what, dtype, &[qkv], &gains, |x, gains| {
                x[0].self_attention(&SelfAttend {
                    norms: HeadNorms {
                        gains: [&gains[0], &gains[1]],
                        eps,
                    },
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
