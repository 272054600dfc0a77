//! Tokens drawn by inversion of running sums.

use candle_core::{Device, Result, Tensor};
use drdiff_kernels::{categorical, naive};
use drdiff_noise::{Noise, Purpose};
use drdiff_testkit::{Inputs, tensor};

fn draw(h: &[f64], table: &[f64], bias: &[f64], u: &[f64]) -> Result<Vec<u32>> {
    let (rows, vocab) = (u.len(), bias.len());
    let width = h.len() / rows;
    let (h, table) = (tensor(h, &[rows, width])?, tensor(table, &[vocab, width])?);
    let u = Tensor::from_slice(u, rows, &Device::Cpu)?;
    categorical(&h, &table, &tensor(bias, &[vocab])?, &u).unwrap().to_vec1()
}

#[test]
fn each_draw_is_where_the_running_sum_passes_it() -> Result<()> {
    for (rows, vocab, width) in [(3, 1, 2), (40, 7, 3), (65, 64, 4), (2050, 65, 2), (30, 200, 5)] {
        let mut inputs = Inputs::new((rows + vocab) as u64);
        let (h, table) = (inputs.numbers(rows * width), inputs.numbers(vocab * width));
        let bias = inputs.numbers(vocab);
        let noise = Noise::new(4, 0);
        let u: Vec<f64> = (0..rows as u64)
            .map(|at| noise.uniform(Purpose::Sample, 0, at))
            .collect();
        let p = naive::distribution(&h, &table, &bias, width);
        let drawn = draw(&h, &table, &bias, &u)?;
        for ((row, u), token) in p.chunks(vocab).zip(&u).zip(drawn) {
            let before: f64 = row[..token as usize].iter().sum();
            let after = before + row[token as usize];
            assert!(before - 1e-6 <= *u && *u <= after + 1e-6, "{before} {u} {after}");
        }
    }
    Ok(())
}

#[test]
fn draws_have_the_frequencies_of_the_distribution_and_never_what_is_impossible() -> Result<()> {
    // Five tokens with weights 1, 2, 0, 4, 1 of 8.
    let bias = [1.0_f64, 2.0, 0.0, 4.0, 1.0].map(f64::ln);
    let count = 4000;
    let u: Vec<f64> = (0..count).map(|at| (f64::from(at) + 0.5) / f64::from(count)).collect();
    let drawn = draw(&vec![0.0; count as usize], &[0.0; 5], &bias, &u)?;
    let times = |token: u32| drawn.iter().filter(|drawn| **drawn == token).count();
    assert_eq!([0, 1, 2, 3, 4].map(times), [500, 1000, 0, 2000, 500]);
    // The least and the largest draw are tokens, too.
    assert_eq!(draw(&[0.0; 2], &[0.0; 5], &bias, &[0.0, 1.0 - f64::EPSILON])?, [0, 4]);
    Ok(())
}

#[test]
fn draws_of_another_type_are_refused() -> Result<()> {
    let (h, table, bias) = (
        tensor(&[1.0], &[1, 1])?,
        tensor(&[1.0], &[1, 1])?,
        tensor(&[0.0], &[1])?,
    );
    let error = categorical(&h, &table, &bias, &tensor(&[0.5], &[1])?)
        .unwrap_err()
        .to_string();
    assert!(error.contains("categorical") && error.contains("F32"), "{error}");
    Ok(())
}
