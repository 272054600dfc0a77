//! The embedding, the vocabulary head and the optimiser.

use crate::compare::{DTYPES, compare, gpu, numbers, on_cpu};
use candle_core::{DType, Device, Result, Tensor, Var};
use drdiff_kernels::{AdamWStep, adamw_step, embedding, global_norm, linear_cross_entropy};
use drdiff_testkit::{Inputs, assert_close_within};
use std::slice::from_ref;

fn ids(seed: u64, count: usize, below: usize) -> Result<Tensor> {
    let ids: Vec<u32> = Inputs::new(seed)
        .whole(count, below)
        .into_iter()
        .map(|id| id as u32)
        .collect();
    Tensor::new(ids, &Device::Cpu)
}

#[test]
fn embedding_rows() -> Result<()> {
    for (count, vocab, width) in [(1, 5, 3), (65, 10, 64), (1000, 50, 300), (3000, 5000, 768)] {
        let ids = ids(count as u64, count, vocab)?;
        let table = numbers(&mut Inputs::new(width as u64), &[vocab, width])?;
        for dtype in DTYPES {
            compare(
                &format!("embedding {count} of {vocab}"),
                dtype,
                from_ref(&table),
                &[],
                |vars| embedding(&ids.to_device(vars[0].device()).unwrap(), &vars[0]).unwrap(),
            )?;
        }
    }
    Ok(())
}

#[test]
fn vocabulary_head() -> Result<()> {
    for (rows, width, vocab) in [(1, 8, 2), (65, 64, 1001), (200, 32, 4096), (9000, 16, 77)] {
        let mut inputs = Inputs::new(vocab as u64);
        let h = (numbers(&mut inputs, &[rows, width])? * 0.5)?;
        let (table, bias) = (numbers(&mut inputs, &[vocab, width])?, numbers(&mut inputs, &[vocab])?);
        let targets = ids(3, rows, vocab)?;
        let weights = ids(4, rows, 3)?.to_dtype(DType::F32)?;
        for dtype in DTYPES {
            let what = format!("cross-entropy {rows} x {vocab}");
            let run = |vars: &[Var]| {
                let place = |x: &Tensor| x.to_device(vars[0].device()).unwrap();
                linear_cross_entropy(&vars[0], &vars[1], &vars[2], &place(&targets), &place(&weights)).unwrap()
            };
            let parameters = [table.clone(), bias.clone()];
            compare(&what, dtype, from_ref(&h), &parameters, |vars| run(vars).loss)?;
            compare(&what, dtype, from_ref(&h), &parameters, |vars| {
                // The loss carries the gradients; the nats only ride along.
                let result = run(vars);
                result.nats.broadcast_add(&(result.loss * 1e-3).unwrap()).unwrap()
            })?;
        }
    }
    Ok(())
}

#[test]
fn optimiser() -> Result<()> {
    let step = AdamWStep {
        lr: 1e-2,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.1,
        bias1: 0.3,
        bias2: 0.2,
        ema_decay: 0.99,
    };
    for shape in [vec![1], vec![7, 13], vec![1003, 65]] {
        let mut inputs = Inputs::new(shape.len() as u64);
        let start: Vec<Tensor> = (0..5).map(|_| numbers(&mut inputs, &shape)).collect::<Result<_>>()?;
        let run = |device: &Device| -> Result<Vec<Vec<f64>>> {
            let place = |x: &Tensor| -> Result<Tensor> { x.copy()?.to_device(device) };
            let param = Var::from_tensor(&place(&start[0])?)?;
            let (grad, m, v, ema) = (
                place(&start[1])?,
                place(&start[2])?,
                place(&start[3].abs()?)?,
                place(&start[4])?,
            );
            let clip = Tensor::new(0.7f32, device)?;
            for ema in [Some(&ema), None] {
                adamw_step(&param, &grad, &m, &v, ema, &step, &clip).unwrap();
            }
            let norm = global_norm(&[grad.clone(), m.clone()]).unwrap();
            [param.as_tensor(), &m, &v, &ema, &norm]
                .into_iter()
                .map(|x| on_cpu(&x.flatten_all()?))
                .collect()
        };
        for (got, want) in run(&gpu())?.iter().zip(run(&Device::Cpu)?) {
            assert_close_within("optimiser", got, &want, 1e-5);
        }
    }
    Ok(())
}
