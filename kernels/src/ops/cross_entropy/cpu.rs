//! The CPU form: one buffer of logits, reused by every chunk.

use super::{Gradients, Lesson, NAME, Parts, Taught};
use crate::gemm::{Mat, Threads, product};
use crate::ops::cpu::{GROUP, Operand};
use crate::{Error, Result, simd};
use candle_core::{DType, Tensor};
use rayon::prelude::*;

/// Rows whose logits exist at one time.
const CHUNK: usize = 1024;

pub(super) fn compute([h, table, bias]: [&Tensor; 3], lesson: Lesson<'_>, tracked: bool) -> Result<Parts> {
    let (rows, width) = h.dims2()?;
    let vocab = table.dim(0)?;
    let targets = lesson.targets.to_vec1::<u32>()?;
    if let Some(target) = targets.iter().find(|&&target| target as usize >= vocab) {
        return Err(Error::shape(
            NAME,
            format!("target {target} in a vocabulary of {vocab}"),
        ));
    }
    let weights = lesson.weights.to_vec1::<f32>()?;
    let (h, bias) = (h.contiguous()?, bias.contiguous()?);
    let table = table.to_dtype(DType::F32)?.contiguous()?;
    let [rows_of_h, table, bias] = [&h, &table, &bias].map(|tensor| Operand::new(NAME, tensor));
    let theirs = lesson.taught.map(plain).transpose()?;
    let theirs = theirs.as_ref().map(|[h, table, bias, shares]| {
        let [h, table, bias, shares] = [h, table, bias, shares].map(|tensor| Operand::new(NAME, tensor));
        (h, table, bias, shares)
    });
    let teacher = match &theirs {
        None => None,
        Some((h, table, bias, shares)) => Some(Teacher {
            h: h.slice()?,
            table: table.slice()?,
            bias: bias.slice()?,
            shares: shares.slice()?,
        }),
    };
    let head = Head {
        table: table.slice()?,
        bias: bias.slice()?,
        width,
        targets: &targets,
        weights: &weights,
        teacher,
    };
    let sums = head.run(rows_of_h.slice()?, tracked);
    let loss: f64 = sums
        .costs
        .iter()
        .zip(&weights)
        .map(|(&cost, &weight)| f64::from(cost) * f64::from(weight))
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

/// Hidden rows, table, bias and shares of a teacher in f32.
fn plain(taught: &Taught) -> Result<[Tensor; 4]> {
    let plain = |x: &Tensor| x.to_dtype(DType::F32)?.contiguous();
    let Taught { h, table, bias, shares } = taught;
    Ok([plain(h)?, plain(table)?, plain(bias)?, plain(shares)?])
}

struct Head<'a> {
    table: &'a [f32],
    bias: &'a [f32],
    width: usize,
    targets: &'a [u32],
    weights: &'a [f32],
    teacher: Option<Teacher<'a>>,
}

struct Teacher<'a> {
    h: &'a [f32],
    table: &'a [f32],
    bias: &'a [f32],
    shares: &'a [f32],
}

struct Sums {
    nats: Vec<f32>,
    /// What each row costs before its weight; its nats without a teacher.
    costs: Vec<f32>,
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
            costs: vec![0.0; rows],
            dh: of(rows * width),
            dtable: of(vocab * width),
            dbias: of(vocab),
        };
        let mut logits = vec![0.0; CHUNK.min(rows) * vocab];
        let mut theirs = vec![0.0; if self.teacher.is_some() { logits.len() } else { 0 }];
        let table = Mat::rows(self.table, vocab, width, width);
        for start in (0..rows).step_by(CHUNK) {
            let count = CHUNK.min(rows - start);
            let logits = &mut logits[..count * vocab];
            let h = Mat::rows(&h[start * width..], count, width, width);
            product(logits, vocab, 0.0, 1.0, h, table.t(), Threads::All);
            if let Some(teacher) = &self.teacher {
                teacher.logits(&mut theirs, start, count);
            }
            let groups: Vec<Vec<f32>> = logits
                .par_chunks_mut(GROUP * vocab)
                .zip(sums.nats[start..start + count].par_chunks_mut(GROUP))
                .zip(sums.costs[start..start + count].par_chunks_mut(GROUP))
                .enumerate()
                .map(|(group, ((logits, nats), costs))| {
                    let theirs = theirs.get(group * GROUP * vocab..).unwrap_or_default();
                    self.group(start + group * GROUP, (logits, theirs), (nats, costs), tracked)
                })
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

    /// Turns some rows of logits into their nats, their costs and, if wanted, into the logits' gradient, whose sum is returned.
    fn group(
        &self,
        start: usize,
        (logits, theirs): (&mut [f32], &[f32]),
        (nats, costs): (&mut [f32], &mut [f32]),
        tracked: bool,
    ) -> Vec<f32> {
        let vocab = self.bias.len();
        let mut dbias = vec![0.0; if tracked { vocab } else { 0 }];
        let mut taught = Vec::new();
        for (index, row) in logits.chunks_mut(vocab).enumerate() {
            let (target, weight) = (self.targets[start + index] as usize, self.weights[start + index]);
            simd::add(row, self.bias);
            let (peak, hit) = (simd::max(row), row[target]);
            let share = match &self.teacher {
                Some(teacher) if teacher.shares[start + index] > 0.0 => {
                    taught.clear();
                    taught.extend_from_slice(&theirs[index * vocab..(index + 1) * vocab]);
                    teacher.distribution(&mut taught);
                    teacher.shares[start + index]
                }
                _ => 0.0,
            };
            // The teacher's mean of the logits.
            let mean = if share > 0.0 { simd::dot(&taught, row) } else { hit };
            let keep = tracked && weight != 0.0;
            let sum = if keep {
                simd::exp_shifted(row, peak)
            } else {
                simd::sum_exp_shifted(row, peak)
            };
            nats[index] = sum.ln() + (peak - hit);
            costs[index] = match share > 0.0 {
                true => (1.0 - share) * nats[index] + share * (sum.ln() + (peak - mean)),
                false => nats[index],
            };
            if keep {
                simd::scale(row, weight / sum);
                row[target] -= weight * (1.0 - share);
                if share > 0.0 {
                    simd::scale(&mut taught, -weight * share);
                    simd::add(row, &taught);
                }
                simd::add(&mut dbias, row);
            } else if tracked {
                row.fill(0.0);
            }
        }
        dbias
    }
}

impl Teacher<'_> {
    /// Logits of `count` rows from `start`, without the bias.
    fn logits(&self, out: &mut [f32], start: usize, count: usize) {
        let (vocab, width) = (self.bias.len(), self.table.len() / self.bias.len().max(1));
        let h = Mat::rows(&self.h[start * width..], count, width, width);
        let table = Mat::rows(self.table, vocab, width, width);
        product(out, vocab, 0.0, 1.0, h, table.t(), Threads::All);
    }

    /// The softmax of a row of logits and the bias.
    fn distribution(&self, row: &mut [f32]) {
        simd::add(row, self.bias);
        let peak = simd::max(row);
        let sum = simd::exp_shifted(row, peak);
        simd::scale(row, sum.recip());
    }
}
