//! The sweep up, which finds the weights, and the sweep down, which applies them.
//!
//! `R` counts sequences times query heads, `m` children, `n` nodes and `b` children a node; all is f32.

use candle_core::{D, Result, Tensor};

use super::constants::Siblings;

/// The nodes of a level as their parents see them.
#[derive(Debug, Clone)]
pub(super) struct Nodes {
    /// Mean queries, keys and values, `[R, m, D]` each.
    pub(super) q: Tensor,
    pub(super) k: Tensor,
    pub(super) v: Tensor,
    /// Minus the mean log-sum-exp of the scores inside, `[R, m]`.
    pub(super) energy: Tensor,
}

/// The weights among the children of each node of a level, and what they were made of.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    pub(super) siblings: Siblings,
    /// `[R * n, b, D]`.
    pub(super) q: Tensor,
    pub(super) k: Tensor,
    pub(super) v: Tensor,
    /// Weights of siblings, `[R * n, b, b]`, zeros on the diagonal.
    pub(super) others: Tensor,
    /// The weight that each child keeps for itself, `[R * n, b, 1]`.
    pub(super) own: Tensor,
}

/// What a node's positions have from outside of it, and the weight that is left to the inside.
#[derive(Debug, Clone)]
pub(super) struct Given {
    /// `[R, m, D]`.
    pub(super) outside: Tensor,
    /// `[R, m, 1]`.
    pub(super) inside: Tensor,
}

impl Stage {
    /// Weights among siblings, and their parents. With mean scores s, sizes |c| and energies φ:
    /// `P = softmax(a)`, `a_cc' = s_cc' + log |c'|`, `a_cc = -φ_c`, and `φ_A = -Σ_c |c| / |A| logsumexp a_c`.
    pub(super) fn up(siblings: Siblings, nodes: &Nodes, scale: f64) -> Result<(Self, Nodes)> {
        let (rows, _, width) = nodes.q.dims3()?;
        let [q, k, v] = [&nodes.q, &nodes.k, &nodes.v].map(|mean| siblings.fold(mean));
        let (q, k, v) = (q?, k?, v?);
        let (n, b) = (siblings.nodes, siblings.branching);
        let scores = (q.matmul(&k.t()?)? * scale)?;
        let kept = siblings.fold(&nodes.energy)?.neg()?.unsqueeze(2)?;
        let off = siblings.eye.affine(-1.0, 1.0)?;
        let scores = (scores.broadcast_mul(&off)? + kept.broadcast_mul(&siblings.eye)?)?;
        let scores = scores.reshape((rows, n, b, b))?.broadcast_add(&siblings.bias)?;
        let peak = scores.max_keepdim(D::Minus1)?;
        let weights = scores.broadcast_sub(&peak)?.exp()?;
        let sum = weights.sum_keepdim(D::Minus1)?;
        let lse = (sum.log()? + peak)?.squeeze(3)?;
        let weights = weights.broadcast_div(&sum)?.reshape((rows * n, b, b))?;
        let averages = siblings.averages(rows)?;
        let mean = |x: &Tensor| averages.matmul(x)?.reshape((rows, n, width));
        let parents = Nodes {
            q: mean(&q)?,
            k: mean(&k)?,
            v: mean(&v)?,
            energy: lse.broadcast_mul(&siblings.shares)?.sum(2)?.neg()?,
        };
        let stage = Self {
            others: weights.broadcast_mul(&off)?,
            own: weights.broadcast_mul(&siblings.eye)?.sum_keepdim(2)?,
            siblings,
            q,
            k,
            v,
        };
        Ok((stage, parents))
    }

    /// What the children have, given what their parents have.
    pub(super) fn down(&self, parents: &Given) -> Result<Given> {
        let inside = self.of_nodes(&parents.inside)?;
        let from_siblings = self.others.matmul(&self.v)?.broadcast_mul(&inside)?;
        Ok(Given {
            outside: self
                .siblings
                .unfold(&from_siblings.broadcast_add(&self.of_nodes(&parents.outside)?)?)?,
            inside: self.siblings.unfold(&self.own.broadcast_mul(&inside)?)?,
        })
    }

    /// `[R, n, W]` as `[R * n, 1, W]`.
    pub(super) fn of_nodes(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, nodes, width) = x.dims3()?;
        x.reshape((rows * nodes, 1, width))
    }
}

/// The stages of all upper levels, from below, and what the lowest nodes have.
pub(super) fn sweep(levels: Vec<Siblings>, leaves: Nodes, scale: f64) -> Result<(Vec<Stage>, Vec<Given>)> {
    let mut stages = Vec::with_capacity(levels.len());
    let mut nodes = leaves;
    for siblings in levels {
        let (stage, parents) = Stage::up(siblings, &nodes, scale)?;
        stages.push(stage);
        nodes = parents;
    }
    // The root has nothing outside and keeps all its weight.
    let mut given = vec![Given {
        outside: nodes.q.zeros_like()?,
        inside: nodes.energy.ones_like()?.unsqueeze(2)?,
    }];
    for stage in stages.iter().rev() {
        let parents = &given[given.len() - 1];
        given.push(stage.down(parents)?);
    }
    given.reverse();
    Ok((stages, given))
}
