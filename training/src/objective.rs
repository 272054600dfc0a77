//! One forward pass of training: tokens and levels to a loss.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use drdiff_attention::Segment;
use drdiff_diffusion::Levels;
use drdiff_kernels::{CrossEntropy, Noise, Purpose, Rotary, TilePlan, embedding, linear_cross_entropy};
use drdiff_model::{Hidden, Input, Network, Soft};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::Result;

/// Rows of logits that are held at once when the network's own prediction is mixed into `x_hat`.
const MIXTURE_ROWS: usize = 4096;

/// Tokens of one forward pass with what is known about each of them.
pub struct Corrupted<'a> {
    /// `[batch * len]` token ids.
    pub tokens: &'a [u32],
    /// Levels and loss weights, `[batch * len]`.
    pub levels: &'a Levels,
    /// Sequences.
    pub batch: usize,
    /// Noise of the soft positions, keyed by `step`.
    pub noise: Noise,
    /// Key of the noise.
    pub step: u64,
}

/// Where the parts of a pass meet: the plan and rotations of the `[noisy | clean]` layout.
pub struct Layout<'a> {
    /// Who sees whom among `2 * len` positions.
    pub plan: Arc<TilePlan>,
    /// Rotations: both halves hold the same positions.
    pub rotary: &'a Rotary,
}

/// A pass that is laid out on the device.
struct Rows {
    input: Input,
    /// Rows of the pass that are predicted, `[open]` u32.
    open: Tensor,
    /// For each open row: 0 without evidence, `j + 1` for soft row `j`; `None` if no row is soft.
    evidence: Option<Tensor>,
    targets: Tensor,
    weights: Tensor,
    /// For each row of the pass: 0, or 1 + its place among the open rows.
    place: Tensor,
}

/// Cross-entropy of the open positions, summed with their weights (see [`Levels`]).
///
/// With `self_condition` the network first predicts without, and reads that prediction, detached
/// (Chen et al., arXiv 2208.04202; probability as in LangFlow, arXiv 2604.11748).
///
/// # Errors
/// If shapes do not fit.
pub fn loss(
    network: &Network,
    corrupted: &Corrupted<'_>,
    layout: &Layout<'_>,
    self_condition: bool,
) -> Result<CrossEntropy> {
    let mut rows = lay_out(network, corrupted)?;
    if self_condition {
        let x_hat = x_hat(
            network,
            &evidence(network, &run(network, &rows, corrupted, layout)?, &rows)?.detach(),
        )?;
        rows.input.self_condition = Some((x_hat, rows.place.clone()));
    }
    let evidence = evidence(network, &run(network, &rows, corrupted, layout)?, &rows)?;
    let unit = network.unit_embeddings()?;
    Ok(linear_cross_entropy(
        &evidence,
        &unit,
        network.bias(),
        &rows.targets,
        &rows.weights,
    )?)
}

fn run(network: &Network, rows: &Rows, corrupted: &Corrupted<'_>, layout: &Layout<'_>) -> Result<Hidden> {
    let segment = Segment {
        batch: corrupted.batch,
        len: 2 * corrupted.tokens.len() / corrupted.batch,
        plan: layout.plan.clone(),
        rotary: layout.rotary,
        cache: None,
    };
    Ok(network.forward(&rows.input, &mut [segment], &mut Default::default())?)
}

/// Evidence `y + g` at the open rows.
fn evidence(network: &Network, hidden: &Hidden, rows: &Rows) -> Result<Tensor> {
    let g = network.evidence(hidden, &rows.open)?;
    match (&rows.evidence, &rows.input.soft) {
        (Some(pick), Some(soft)) => {
            let none = Tensor::zeros((1, soft.evidence.dim(1)?), DType::F32, g.device())?;
            let y = embedding(pick, &Tensor::cat(&[&none, &soft.evidence], 0)?)?;
            let y = y.to_dtype(network.dtype())?;
            Ok((g + y)?)
        }
        _ => Ok(g),
    }
}

/// The data prediction for rows of evidence, `[open, embed]` f32, a few rows of logits at a time.
fn x_hat(network: &Network, evidence: &Tensor) -> Result<Tensor> {
    let rows = evidence.dim(0)?;
    let mut parts = Vec::new();
    for first in (0..rows).step_by(MIXTURE_ROWS) {
        let part = evidence.narrow(0, first, MIXTURE_ROWS.min(rows - first))?;
        parts.push(network.data_prediction(&network.logits(&part)?)?);
    }
    Ok(Tensor::cat(&parts, 0)?)
}

fn lay_out(network: &Network, corrupted: &Corrupted<'_>) -> Result<Rows> {
    let Corrupted {
        tokens, levels, batch, ..
    } = *corrupted;
    let device = network.device();
    let vocab = network.config().vocab as u32;
    let len = tokens.len() / batch;
    let mut index = Vec::with_capacity(2 * tokens.len());
    let mut place = vec![0u32; 2 * tokens.len()];
    let (mut soft_at, mut open, mut picks) = (Vec::new(), Vec::new(), Vec::new());
    let (mut targets, mut weights) = (Vec::new(), Vec::new());
    for b in 0..batch {
        let sequence = b * len..(b + 1) * len;
        for (i, token) in sequence.clone().zip(&tokens[sequence.clone()]) {
            let (row, snr) = (index.len(), levels.snr[i]);
            let soft = snr > 0.0 && snr.is_finite();
            index.push(match snr {
                0.0 => vocab,
                _ if soft => {
                    soft_at.push(i);
                    vocab + soft_at.len() as u32
                }
                _ => *token,
            });
            if levels.weight[i] > 0.0 {
                open.push(row as u32);
                place[row] = open.len() as u32;
                picks.push(if soft { soft_at.len() as u32 } else { 0 });
                targets.push(*token);
                weights.push(levels.weight[i]);
            }
        }
        index.extend_from_slice(&tokens[sequence]);
    }
    let vector = |values: Vec<u32>| {
        let n = values.len();
        Tensor::from_vec(values, n, device)
    };
    let total: f32 = weights.iter().sum();
    let count = weights.len();
    let weights =
        Tensor::from_vec(weights, count, device)?.affine(f64::from(total.max(f32::MIN_POSITIVE)).recip(), 0.0)?;
    let evidence = if soft_at.is_empty() { None } else { Some(vector(picks)?) };
    let mut input = Input::discrete(vector(index)?);
    if !soft_at.is_empty() {
        input.soft = Some(soft_rows(network, corrupted, &soft_at)?);
    }
    if network.config().noise_conditioning {
        input.mean_signal = Some(mean_signal(network, corrupted)?);
    }
    Ok(Rows {
        input,
        open: vector(open)?,
        evidence,
        targets: vector(targets)?,
        weights,
        place: vector(place)?,
    })
}

/// Evidence `y = s e(x) + sqrt(s) n` of the soft positions. It is a constant of the graph: embeddings learn as
/// classifiers and as clean inputs, not by moving the noisy state.
fn soft_rows(network: &Network, corrupted: &Corrupted<'_>, soft_at: &[usize]) -> Result<Soft> {
    let device = network.device();
    let embed = network.config().embed;
    let mut noise = vec![0f32; soft_at.len() * embed];
    noise.par_chunks_mut(embed).zip(soft_at).for_each(|(row, at)| {
        let mut stream = corrupted.noise.stream(Purpose::Corrupt, corrupted.step, *at as u64);
        let root = corrupted.levels.snr[*at].sqrt();
        row.iter_mut()
            .for_each(|n| *n = root * <StandardNormal as Distribution<f32>>::sample(&StandardNormal, &mut stream));
    });
    let snr: Vec<f32> = soft_at.iter().map(|at| corrupted.levels.snr[*at]).collect();
    let ids: Vec<u32> = soft_at.iter().map(|at| corrupted.tokens[*at]).collect();
    let n = soft_at.len();
    let clean = embedding(&Tensor::from_vec(ids, n, device)?, &network.unit_embeddings()?.detach())?;
    let signal = clean.broadcast_mul(&Tensor::from_vec(snr, (n, 1), device)?)?;
    Ok(Soft::new((signal + Tensor::from_vec(noise, (n, embed), device)?)?)?)
}

/// Mean of `alpha^2 = s / (1 + s)` over each sequence, for its noisy half; 1 for the clean half.
fn mean_signal(network: &Network, corrupted: &Corrupted<'_>) -> Result<Tensor> {
    let len = corrupted.tokens.len() / corrupted.batch;
    let mut signal = Vec::with_capacity(2 * corrupted.tokens.len());
    for levels in corrupted.levels.snr.chunks(len) {
        let of = |s: &f32| if s.is_finite() { s / (1.0 + s) } else { 1.0 };
        let mean = levels.iter().map(of).sum::<f32>() / len as f32;
        signal.extend(std::iter::repeat_n(mean, len).chain(std::iter::repeat_n(1.0, len)));
    }
    let rows = signal.len();
    Ok(Tensor::from_vec(signal, (rows, 1), network.device())?)
}
