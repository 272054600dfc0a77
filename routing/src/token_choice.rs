//! Rows choose experts: the best few, or all above a threshold.

use candle_core::{DType, Tensor};
use drdiff_kernels::{Builder, Value};
use rayon::prelude::*;

use crate::groups::Group;
use crate::head::{Head, aux_loss, entropy, load, softmax};
use crate::{Chosen, Groups, Placed, Result, Router, RouterKind, Routing, RoutingConfig};

/// Top-k routing (DrDiff, arXiv 2509.02785): weights are a softmax over the chosen experts alone. With
/// [`RouterKind::Threshold`] a row takes every expert whose share exceeds the threshold, where an idle choice of score 0
/// takes part in the softmax; easy rows lean on it and take none.
///
/// A group on a budget keeps the pairs of row and expert with the greatest shares, so many that they are that part of what
/// its rows asked for. Counts depend on the scores, which are therefore read to the host once a layer.
pub(crate) struct TokenChoice {
    head: Head,
    config: RoutingConfig,
}

/// A member of a group that goes through an expert.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pair {
    member: usize,
    expert: usize,
    /// The expert's share of the softmax.
    share: f64,
}

impl TokenChoice {
    pub(crate) fn new(builder: &Builder, config: &RoutingConfig, width: usize) -> Result<Self> {
        Ok(Self {
            head: Head::new(builder, config, width)?,
            config: config.clone(),
        })
    }

    /// The experts that one member asks for, if those of `scores` take part.
    fn wanted(&self, member: usize, scores: &[f32]) -> Vec<Pair> {
        let idle = self.config.kind == RouterKind::Threshold;
        let most = scores
            .iter()
            .fold(if idle { 0.0 } else { f32::NEG_INFINITY }, |most, score| {
                most.max(*score)
            });
        let weights: Vec<f64> = scores.iter().map(|score| f64::from(score - most).exp()).collect();
        let total = weights.iter().sum::<f64>() + if idle { f64::from(-most).exp() } else { 0.0 };
        let pair = |(expert, weight): (usize, &f64)| Pair {
            member,
            expert,
            share: weight / total,
        };
        let mut pairs: Vec<Pair> = weights.iter().enumerate().map(pair).collect();
        if idle {
            pairs.retain(|pair| pair.share > self.config.threshold);
        } else {
            pairs.sort_by(|a, b| b.share.total_cmp(&a.share));
            pairs.truncate(self.config.active as usize);
        }
        pairs
    }

    /// What the groups take, by expert and member, and how much each of them.
    fn choose(&self, scores: &[Vec<f32>], groups: &Groups) -> (Vec<Pair>, Vec<usize>) {
        let of_group = |group: &Group| {
            let takes_part = self.config.experts_at(group.budget);
            let open = |count: usize| {
                let pairs = move |member: usize| self.wanted(member, &scores[member][..count]);
                groups.open_of(group).flat_map(pairs).collect::<Vec<Pair>>()
            };
            let mut pairs = open(self.config.experts);
            let most = (pairs.len() as f64 * group.budget - 1e-9).ceil().max(0.0) as usize;
            if takes_part < self.config.experts {
                pairs = open(takes_part);
            }
            pairs.sort_by(|a, b| b.share.total_cmp(&a.share));
            pairs.truncate(most);
            pairs
        };
        // The device waits for this.
        let groups: Vec<&Group> = groups.iter().collect();
        let of_groups: Vec<Vec<Pair>> = groups.into_par_iter().map(of_group).collect();
        let taken = of_groups.iter().map(Vec::len).collect();
        let mut chosen = of_groups.concat();
        chosen.par_sort_unstable_by_key(|pair| (pair.expert, pair.member));
        (chosen, taken)
    }

    /// Weights of all experts for all members, of which the chosen ones count.
    fn weights(&self, scores: &Value, chosen: &[Pair]) -> Result<Value> {
        let (rows, experts) = scores.tensor().dims2()?;
        let device = scores.tensor().device();
        if self.config.kind == RouterKind::Threshold {
            let idle = Tensor::zeros((rows, 1), DType::F32, device)?;
            return Ok(scores.through(|scores| {
                Ok(softmax(&Tensor::cat(&[scores, &idle], 1)?)?
                    .narrow(1, 0, experts)?
                    .contiguous()?)
            })?);
        }
        let mut barred = vec![-1e9f32; rows * experts];
        for pair in chosen {
            barred[pair.member * experts + pair.expert] = 0.0;
        }
        let barred = Tensor::from_vec(barred, (rows, experts), device)?;
        Ok(scores.through(|scores| Ok(softmax(&(scores + &barred)?)?))?)
    }
}

impl Router for TokenChoice {
    fn flops_per_row(&self) -> u64 {
        self.head.flops_per_row()
    }

    fn route(&self, hidden: &Value, placed: &Placed) -> Result<Routing> {
        let (groups, experts) = (&placed.groups, self.config.experts);
        let scores = self.head.scores(hidden, placed)?;
        let device = scores.tensor().device();
        let (pairs, taken) = self.choose(&scores.tensor().to_vec2::<f32>()?, groups);
        let scores = placed.bar(&scores)?;
        let mut counts = vec![0; experts];
        pairs.iter().for_each(|pair| counts[pair.expert] += 1);
        let total = pairs.len();
        let mut chosen = None;
        if total > 0 {
            let cells = pairs.iter().map(|pair| (pair.member * experts + pair.expert) as u32);
            let cells = Tensor::from_vec(cells.collect::<Vec<u32>>(), total, device)?;
            let rows: Vec<u32> = pairs.iter().map(|pair| groups.row_of(pair.member)).collect();
            let weights = self.weights(&scores, &pairs)?;
            chosen = Some(Chosen {
                rows: Tensor::from_vec(rows, total, device)?,
                gates: weights.reshape((groups.members() * experts, 1))?.rows(&cells)?,
            });
        }
        let load = load(&counts, device)?;
        Ok(Routing {
            chosen,
            counts,
            taken,
            aux_loss: aux_loss(&scores, placed, &self.config, Some(&load))?,
            entropy: entropy(scores.tensor(), placed)?,
        })
    }
}
