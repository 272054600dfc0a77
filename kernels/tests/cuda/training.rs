//! The embedding, the vocabulary head and the optimiser.

use crate::compare::{DTYPES, compare, gpu, numbers, on_cpu};
use candle_core::{DType, Device, Result, Tensor, Var};
use drdiff_kernels::{
    AdamWSlot, AdamWStep, MuonSlot, MuonStep, adamw_all, embedding, global_norm, linear_cross_entropy, mixture,
    mixture_with_entropy, muon, orthogonalise,
};
use drdiff_testkit::{Inputs, assert_close_within, assert_no_worse, relative_rms};
use half::bf16;
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
    for (count, vocab, width) in [
        (1, 5, 3),
        (65, 10, 64),
        (1000, 50, 300),
        (3000, 5000, 768),
        (9, 3, 8192),
        (5, 4, 1027),
    ] {
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

/// Ids of which one takes half of all positions, as the mask token does, ids that ascend, as those of kept rows do, and
/// sizes around the tiles of the sort, its digits and the chunks of the sums.
#[test]
fn embedding_of_lopsided_ids() -> Result<()> {
    for (count, vocab, width) in [(64, 511, 8), (1025, 512, 72), (5000, 3000, 64), (40_000, 70_000, 8)] {
        let drawn = ids(count as u64, count, vocab)?.to_vec1::<u32>()?;
        let often: Vec<u32> = (0..count).map(|at| if at % 2 == 0 { 3 } else { drawn[at] }).collect();
        let ascending: Vec<u32> = (0..count).map(|at| (at * vocab / count) as u32).collect();
        let table = numbers(&mut Inputs::new(width as u64), &[vocab, width])?;
        for ids in [often, ascending, vec![vocab as u32 - 1; count]] {
            let ids = Tensor::new(ids, &Device::Cpu)?;
            for dtype in DTYPES {
                let what = format!("lopsided embedding {count} of {vocab}");
                compare(&what, dtype, from_ref(&table), &[], |vars| {
                    embedding(&ids.to_device(vars[0].device()).unwrap(), &vars[0]).unwrap()
                })?;
            }
        }
    }
    Ok(())
}

#[test]
fn mean_embeddings() -> Result<()> {
    for (rows, width, vocab) in [(1, 8, 2), (65, 64, 1001), (5000, 32, 96)] {
        let mut inputs = Inputs::new(vocab as u64);
        let [h, table] = [[rows, width], [vocab, width]].map(|shape| numbers(&mut inputs, &shape));
        let (h, table, bias) = (h?, table?, numbers(&mut inputs, &[vocab])?);
        let gpu = gpu();
        for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::BF16, 2e-2)] {
            let on_gpu = |x: &Tensor, dtype: DType| x.to_dtype(dtype)?.to_device(&gpu);
            let h = h.to_dtype(dtype)?.to_dtype(DType::F32)?;
            let found = mixture(
                &on_gpu(&h, dtype)?,
                &on_gpu(&table, DType::F32)?,
                &on_gpu(&bias, DType::F32)?,
            )
            .unwrap();
            let wanted = on_cpu(&mixture(&h, &table, &bias).unwrap())?;
            assert_close_within(&format!("mixture {dtype:?}"), &on_cpu(&found)?, &wanted, tolerance);
            let (_, shares) = mixture_with_entropy(
                &on_gpu(&h, dtype)?,
                &on_gpu(&table, DType::F32)?,
                &on_gpu(&bias, DType::F32)?,
            )
            .unwrap();
            let wanted = on_cpu(&mixture_with_entropy(&h, &table, &bias).unwrap().1)?;
            // The entropy of a prediction that is nearly certain hangs on 1 - p, of which f32 keeps few digits.
            assert_close_within(
                &format!("entropy {dtype:?}"),
                &on_cpu(&shares)?,
                &wanted,
                10.0 * tolerance,
            );
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
    let shapes = [vec![1], vec![7, 13], vec![1003, 65], vec![4096], vec![64, 200]];
    let mut inputs = Inputs::new(5);
    let start: Vec<[Tensor; 5]> = shapes
        .iter()
        .map(|shape| {
            let mut draw = || numbers(&mut inputs, shape);
            Ok([draw()?, draw()?, draw()?, draw()?.abs()?, draw()?])
        })
        .collect::<Result<_>>()?;
    let run = |device: &Device| -> Result<Vec<Vec<f64>>> {
        let clip = Tensor::new(0.7f32, device)?;
        let mut params = Vec::new();
        for (index, numbers) in start.iter().enumerate() {
            let place = |x: &Tensor| -> Result<Tensor> { x.copy()?.to_device(device) };
            // Every other gradient is bf16, which holds its numbers.
            let dtype = if index % 2 == 0 { DType::F32 } else { DType::BF16 };
            params.push((
                Var::from_tensor(&place(&numbers[0])?)?,
                [
                    place(&numbers[1])?.to_dtype(dtype)?,
                    place(&numbers[2])?,
                    place(&numbers[3])?,
                    place(&numbers[4])?,
                ],
            ));
        }
        let slots: Vec<AdamWSlot<'_>> = params
            .iter()
            .enumerate()
            .map(|(index, (param, [grad, first, second, average]))| AdamWSlot {
                param,
                grad,
                first,
                second,
                average: (index != 1).then_some(average),
                decays: index % 3 == 0,
            })
            .collect();
        for _ in 0..2 {
            adamw_all(&slots, &step, &clip).unwrap();
        }
        let grads: Vec<Tensor> = slots.iter().map(|slot| slot.grad.clone()).collect();
        let mut results = vec![on_cpu(&global_norm(&grads).unwrap().flatten_all()?)?];
        for (param, state) in &params {
            results.push(on_cpu(&param.flatten_all()?)?);
            for state in state {
                results.push(on_cpu(&state.flatten_all()?)?);
            }
        }
        Ok(results)
    };
    for (got, want) in run(&gpu())?.iter().zip(run(&Device::Cpu)?) {
        assert_close_within("optimiser", got, &want, 1e-5);
    }
    Ok(())
}

/// Wide, tall and square stacks; parameters that hold one matrix and two. The iteration runs in bf16 here and in f32 on
/// the CPU, which it is made to bear: directions agree to a few hundredths.
/// Muon's iteration on one matrix, every result of a product or sum rounded by `round`.
fn newton_schulz(matrix: &[f64], columns: usize, round: fn(f64) -> f64) -> Vec<f64> {
    let rows = matrix.len() / columns;
    let norm = matrix.iter().map(|v| v * v).sum::<f64>().sqrt() + 1e-7;
    let product = |a: &[f64], b: &[f64], inner: usize, width: usize| -> Vec<f64> {
        let height = a.len() / inner;
        let at = |i: usize, j: usize| round((0..inner).map(|k| a[i * inner + k] * b[k * width + j]).sum());
        (0..height)
            .flat_map(|i| (0..width).map(move |j| (i, j)))
            .map(|(i, j)| at(i, j))
            .collect()
    };
    let sum = |p: &[f64], a: f64, q: &[f64], b: f64| -> Vec<f64> {
        p.iter()
            .zip(q)
            .map(|(p, q)| round(round(a * p) + round(b * q)))
            .collect()
    };
    let mut x: Vec<f64> = matrix.iter().map(|v| round(v / norm)).collect();
    for _ in 0..5 {
        let transposed: Vec<f64> = (0..columns)
            .flat_map(|j| (0..rows).map(move |i| (i, j)))
            .map(|(i, j)| x[i * columns + j])
            .collect();
        let rest = if rows <= columns {
            let gram = product(&x, &transposed, columns, rows);
            let square = product(&gram, &gram, rows, rows);
            product(&sum(&gram, -4.7750, &square, 2.0315), &x, rows, columns)
        } else {
            let gram = product(&transposed, &x, rows, columns);
            let square = product(&gram, &gram, columns, columns);
            product(&x, &sum(&gram, -4.7750, &square, 2.0315), columns, columns)
        };
        x = sum(&x, 3.4445, &rest, 1.0);
    }
    x
}

#[test]
fn muon_step() -> Result<()> {
    for (rows, columns) in [(64, 64), (40, 96), (96, 40)] {
        let mut inputs = Inputs::new(rows as u64);
        let [param, grad, average] = [(); 3].map(|()| numbers(&mut inputs, &[2 * rows, columns]));
        let (param, grad, average) = (param?, grad?, average?);
        let momentum = numbers(&mut inputs, &[2, rows, columns])?;
        let step = MuonStep {
            lr: 0.5,
            scale: 1.0,
            momentum: 0.95,
            weight_decay: 0.1,
            ema_decay: 0.9,
        };
        let run = |device: &Device| -> Result<[Vec<f64>; 4]> {
            let place = |x: &Tensor| -> Result<Tensor> { x.copy()?.to_device(device) };
            let var = Var::from_tensor(&place(&param)?)?;
            // The gradient holds bf16 numbers on both sides.
            let grad = place(&grad.to_dtype(DType::BF16)?)?;
            let average = place(&average)?;
            let slots = [0, rows].map(|row| MuonSlot {
                param: &var,
                grad: Some(&grad),
                average: Some(&average),
                row,
            });
            let clip = Tensor::new(0.7f32, device)?;
            let after = muon(&slots, &place(&momentum)?, &step, &clip).unwrap();
            let direction = orthogonalise(&after).unwrap();
            Ok([
                on_cpu(&after.flatten_all()?)?,
                on_cpu(&direction.flatten_all()?)?,
                on_cpu(&var.flatten_all()?)?,
                on_cpu(&average.flatten_all()?)?,
            ])
        };
        let (gpu, cpu) = (run(&gpu())?, run(&Device::Cpu)?);
        assert_close_within("momentum", &gpu[0], &cpu[0], 1e-6);
        let twin = |round: fn(f64) -> f64| -> Vec<f64> {
            let matrices = cpu[0].chunks(rows * columns);
            matrices.flat_map(|m| newton_schulz(m, columns, round)).collect()
        };
        let (exact, plain) = (twin(|x| x), twin(|x| bf16::from_f64(x).to_f64()));
        assert_no_worse(&format!("direction {rows} x {columns}"), &gpu[1], &plain, &exact);
        // Where a parameter goes by the direction, its error is that of the direction.
        for (what, at) in [("parameter", 2), ("average", 3)] {
            let error = relative_rms(what, &gpu[at], &cpu[at]);
            let direction = 2.0 * relative_rms(what, &plain, &exact);
            assert!(
                error <= direction,
                "{what} {rows} x {columns}: {error:.3e} above {direction:.3e}"
            );
        }
    }
    Ok(())
}
