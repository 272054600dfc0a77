//! The CPU form: one buffer of logits, reused by every chunk.

use super::{Gradients, NAME, Parts};
use crate::gemm::{Mat, Threads, product};
use crate::ops::cpu::{GROUP, Operand};
use crate::{Error, Result, simd};
use candle_core::{DType, Tensor};
use rayon::prelude::*;

/// Rows whose logits exist at one time.
const CHUNK: usize = 1024;

pub(super) fn compute(
    h: &Tensor,
    table: &Tensor,
    bias: &Tensor,
    targets: &Tensor,
    weights: &Tensor,
    tracked: bool,
) -> Result<Parts> {
    let (rows, width) = h.dims2()?;
    let vocab = table.dim(0)?;
    let targets = targets.to_vec1::<u32>()?;
    if let Some(target) = targets.iter().find(|&&target| target as usize >= vocab) {
        return Err(Error::shape(
            NAME,
            format!("target {target} in a vocabulary of {vocab}"),
        ));
    }
    let weights = weights.to_vec1::<f32>()?;
    let (h, bias) = (h.contiguous()?, bias.contiguous()?);
    let table = table.to_dtype(DType::F32)?.contiguous()?;
    let [rows_of_h, table, bias] = [&h, &table, &bias].map(|tensor| Operand::new(NAME, tensor));
    let head = Head {
        table: table.slice()?,
        bias: bias.slice()?,
        width,
        targets: &targets,
        weights: &weights,
    };
    let sums = head.run(rows_of_h.slice()?, tracked);
    let loss: f64 = sums
        .nats
        .iter()
        .zip(&weights)
        .map(|(&nats, &weight)| f64::from(nats) * f64::from(weight))
        .sum();
    let device = h.device();
    let gradients = if tracked {
        Some(Gradients {
            h: Tensor::from_vec(sums.dh, (rows, width), device)?,
            table: Tensor::from_vec(sums.dtable, (vocab, width), device)?,
            bias: Tensor::from_vec(sums.dbias, vocab, device)?,
        })
    } else {
        None
    };
    Ok(Parts {
        loss: Tensor::new(loss as f32, device)?,
        nats: Tensor::from_vec(sums.nats, rows, device)?,
        gradients,
    })
}

struct Head<'a> {
    table: &'a [f32],
    bias: &'a [f32],
    width: usize,
    targets: &'a [u32],
    weights: &'a [f32],
}

struct Sums {
    nats: Vec<f32>,
    dh: Vec<f32>,
    dtable: Vec<f32>,
    dbias: Vec<f32>,
}

impl Head<'_> {
    fn run(&self, h: &[f32], tracked: bool) -> Sums {
        let (rows, vocab, width) = (self.targets.len(), self.bias.len(), self.width);
        let of = |count: usize| vec![0.0; if tracked { count } else { 0 }];
        let mut sums = Sums {
            nats: vec![0.0; rows],
            dh: of(rows * width),
            dtable: of(vocab * width),
            dbias: of(vocab),
        };
        let mut logits = vec![0.0; CHUNK.min(rows) * vocab];
        let table = Mat::rows(self.table, vocab, width, width);
        for start in (0..rows).step_by(CHUNK) {
            let count = CHUNK.min(rows - start);
            let logits = &mut logits[..count * vocab];
            let h = Mat::rows(&h[start * width..], count, width, width);
            product(logits, vocab, 0.0, 1.0, h, table.t(), Threads::All);
            let groups: Vec<Vec<f32>> = logits
                .par_chunks_mut(GROUP * vocab)
                .zip(sums.nats[start..start + count].par_chunks_mut(GROUP))
                .enumerate()
                .map(|(group, (logits, nats))| self.group(start + group * GROUP, logits, nats, tracked))
                .collect();
            if tracked {
                groups.iter().for_each(|group| simd::add(&mut sums.dbias, group));
                let gradient = Mat::rows(logits, count, vocab, vocab);
                product(
                    &mut sums.dh[start * width..],
                    width,
                    0.0,
                    1.0,
                    gradient,
                    table,
                    Threads::All,
                );
                product(&mut sums.dtable, width, 1.0, 1.0, gradient.t(), h, Threads::All);
            }
        }
        sums
    }

    /// Turns some rows of logits into their nats and, if wanted, into the logits' gradient, whose sum is returned.
    fn group(&self, start: usize, logits: &mut [f32], nats: &mut [f32], tracked: bool) -> Vec<f32> {
        let mut dbias = vec![0.0; if tracked { self.bias.len() } else { 0 }];
        for (index, (row, nats)) in logits.chunks_mut(self.bias.len()).zip(nats).enumerate() {
            let (target, weight) = (self.targets[start + index] as usize, self.weights[start + index]);
            simd::add(row, self.bias);
            let (peak, hit) = (simd::max(row), row[target]);
            let keep = tracked && weight != 0.0;
            let sum = if keep {
                simd::exp_shifted(row, peak)
            } else {
                simd::sum_exp_shifted(row, peak)
            };
            *nats = sum.ln() + (peak - hit);
            if keep {
                simd::scale(row, weight / sum);
                row[target] -= weight;
                simd::add(&mut dbias, row);
            } else if tracked {
                row.fill(0.0);
            }
        }
        dbias
    }
}
