//! Rows choose experts: the best few, or all above a threshold.

use candle_core::Tensor;
use drdiff_kernels::{Builder, Value};

use crate::head::{Head, aux_loss, entropy, softmax};
use crate::{Result, RouteContext, Router, RouterKind, Routing, RoutingConfig};

/// Top-k routing (DrDiff, arXiv 2509.02785): weights are a softmax over the chosen experts alone. With
/// [`RouterKind::Threshold`] a row takes every expert whose share exceeds the threshold, where an idle choice of score 0
/// takes part in the softmax; easy rows lean on it and take none.
///
/// Counts depend on the scores, which are therefore read to the host once a layer.
pub(crate) struct TokenChoice {
    head: Head,
    config: RoutingConfig,
}

impl TokenChoice {
    pub(crate) fn new(builder: &Builder, config: &RoutingConfig, width: usize) -> Result<Self> {
        Ok(Self {
            head: Head::new(builder, width, config.experts)?,
            config: config.clone(),
        })
    }

    /// The experts of one row.
    fn choose(&self, scores: &[f32], share: f64) -> Vec<usize> {
        if self.config.kind == RouterKind::Threshold {
            let most = scores.iter().fold(0f32, |most, score| most.max(*score));
            let weights: Vec<f64> = scores.iter().map(|score| f64::from(score - most).exp()).collect();
            let total = weights.iter().sum::<f64>() + f64::from(-most).exp();
            let above = |weight: f64| weight / total * share > self.config.threshold;
            return (0..scores.len()).filter(|expert| above(weights[*expert])).collect();
        }
        let mut best: Vec<usize> = (0..scores.len()).collect();
        best.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        best.truncate((self.config.active * share).round() as usize);
        best
    }

    /// Weights of all experts for all rows, of which the chosen ones count.
    fn weights(&self, scores: &Value, chosen: &[Vec<usize>]) -> Result<Value> {
        let (rows, experts) = scores.tensor().dims2()?;
        let device = scores.tensor().device();
        if self.config.kind == RouterKind::Threshold {
            let idle = Tensor::zeros((rows, 1), candle_core::DType::F32, device)?;
            return Ok(scores.through(|scores| {
                Ok(softmax(&Tensor::cat(&[scores, &idle], 1)?)?
                    .narrow(1, 0, experts)?
                    .contiguous()?)
            })?);
        }
        let mut barred = vec![-1e9f32; rows * experts];
        for (row, experts_of_row) in chosen
            .iter()
            .enumerate()
            .flat_map(|(row, of)| of.iter().map(move |e| (row, *e)))
        {
            barred[row * experts + experts_of_row] = 0.0;
        }
        let barred = Tensor::from_vec(barred, (rows, experts), device)?;
        Ok(scores.through(|scores| Ok(softmax(&(scores + &barred)?)?))?)
    }
}

impl Router for TokenChoice {
    fn route(&self, hidden: &Value, context: &RouteContext<'_>) -> Result<Option<Routing>> {
        let (groups, experts, share) = (context.groups, self.config.experts, context.share());
        if groups.open_rows() == 0 {
            return Ok(None);
        }
        let scores = self.head.scores(hidden, groups)?;
        let device = scores.tensor().device();
        let chosen: Vec<Vec<usize>> = scores
            .tensor()
            .to_vec2::<f32>()?
            .iter()
            .enumerate()
            .map(|(row, scores)| match groups.is_open(row) {
                true => self.choose(scores, share),
                false => Vec::new(),
            })
            .collect();
        let mut counts = vec![0; experts];
        chosen.iter().flatten().for_each(|expert| counts[*expert] += 1);
        let total = counts.iter().sum::<usize>();
        if total == 0 {
            return Ok(None);
        }
        let (mut rows, mut cells) = (Vec::with_capacity(total), Vec::with_capacity(total));
        for expert in 0..experts {
            for row in (0..chosen.len()).filter(|row| chosen[*row].contains(&expert)) {
                rows.push(row as u32);
                cells.push((row * experts + expert) as u32);
            }
        }
        let load: Vec<f32> = counts.iter().map(|count| *count as f32 / total as f32).collect();
        let weights = self.weights(&scores, &chosen)?;
        Ok(Some(Routing {
            rows: Tensor::from_vec(rows, total, device)?,
            gates: weights
                .reshape((chosen.len() * experts, 1))?
                .rows(&Tensor::from_vec(cells, total, device)?)?,
            aux_loss: aux_loss(
                &scores,
                groups,
                &self.config,
                Some(&Tensor::from_vec(load, experts, device)?),
            )?,
            entropy: entropy(scores.tensor(), groups)?,
            counts,
        }))
    }
}
