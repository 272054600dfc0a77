//! Gradients of the sweeps: one sweep up and one down, as the forward pass.

use candle_core::{Result, Tensor};

use super::forward::{Given, Stage};

/// Gradients of the output summed over the positions of each node of a level.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    /// `Σ dout`, `[R, m, D]`.
    pub(super) sum: Tensor,
    /// `Σ <dout, what the position reads inside>`, `[R, m, 1]`: the gradient of the weight left to the inside.
    pub(super) inside: Tensor,
}

/// Gradients of a level's nodes.
#[derive(Debug, Clone)]
pub(super) struct NodeGradients {
    /// Of the mean queries, keys and values, `[R, m, D]` each.
    pub(super) q: Tensor,
    pub(super) k: Tensor,
    pub(super) v: Tensor,
    /// Of the energies, `[R, m, 1]`.
    pub(super) energy: Tensor,
}

/// Gradients of the lowest nodes from `upstream` of those; `given` is what the forward sweep gave each level's nodes,
/// the root last.
pub(super) fn sweep(stages: &[Stage], given: &[Given], upstream: Upstream, scale: f64) -> Result<NodeGradients> {
    let mut below = vec![upstream];
    let mut slopes = Vec::with_capacity(stages.len());
    for stage in stages {
        let children = &below[below.len() - 1];
        let (of_weights, parents) = stage.upstream(children)?;
        slopes.push(of_weights);
        below.push(parents);
    }
    let root = &below[below.len() - 1];
    let mut gradients = NodeGradients {
        q: root.sum.zeros_like()?,
        k: root.sum.zeros_like()?,
        v: root.sum.zeros_like()?,
        energy: root.inside.zeros_like()?,
    };
    for (level, stage) in stages.iter().enumerate().rev() {
        let parents = &given[level + 1].inside;
        gradients = stage.gradients(&slopes[level], parents, &gradients, scale)?;
    }
    Ok(gradients)
}

/// Gradients of a stage's weights, but for the factor that the parents' inside weight is.
#[derive(Debug)]
struct Slopes {
    /// Upstream sums of the children, `[R * n, b, D]`.
    sums: Tensor,
    /// Of the weights of siblings, `[R * n, b, b]`.
    others: Tensor,
    /// Of the weight for itself, `[R * n, b, 1]`.
    own: Tensor,
}

impl Stage {
    /// `dP_cc' = <Σ_c dout, v_c'>`, `dP_cc` from inside, and the upstream of the parents.
    fn upstream(&self, children: &Upstream) -> Result<(Slopes, Upstream)> {
        let (rows, _, width) = children.sum.dims3()?;
        let sums = self.siblings.fold(&children.sum)?;
        let own = self.siblings.fold(&children.inside)?;
        let others = sums.matmul(&self.v.t()?)?;
        let inside = ((&self.others * &others)?.sum_keepdim(2)? + (&self.own * &own)?)?.sum(1)?;
        let parents = Upstream {
            sum: sums.sum(1)?.reshape((rows, self.siblings.nodes, width))?,
            inside: inside.reshape((rows, self.siblings.nodes, 1))?,
        };
        Ok((Slopes { sums, others, own }, parents))
    }

    /// `da_c = P_c (M dP_c - <P_c, M dP_c>) - P_c |c| / |A| dφ_A`, and from it the children's gradients.
    fn gradients(
        &self,
        slopes: &Slopes,
        inside: &Tensor,
        parents: &NodeGradients,
        scale: f64,
    ) -> Result<NodeGradients> {
        let siblings = &self.siblings;
        let rows = parents.q.dim(0)?;
        let inside = self.of_nodes(inside)?;
        let shares = siblings.averages(rows)?.transpose(1, 2)?.contiguous()?;
        let dothers = slopes.others.broadcast_mul(&inside)?;
        let down = slopes.own.broadcast_mul(&inside)?;
        let mean = ((&self.others * &dothers)?.sum_keepdim(2)? + (&self.own * &down)?)?;
        let drop = (mean + shares.broadcast_mul(&self.of_nodes(&parents.energy)?)?)?;
        let dscores = (&self.others * dothers.broadcast_sub(&drop)?)?;
        let down = (&self.own * (down - drop)?)?;
        let weighted = self.others.broadcast_mul(&inside)?;
        let dscaled = (&dscores * scale)?;
        let with_parents = |of_child: Tensor, of_parent: &Tensor| -> Result<Tensor> {
            siblings.unfold(&(of_child + shares.broadcast_mul(&self.of_nodes(of_parent)?)?)?)
        };
        Ok(NodeGradients {
            q: with_parents(dscaled.matmul(&self.k)?, &parents.q)?,
            k: with_parents(dscaled.t()?.matmul(&self.q)?, &parents.k)?,
            v: with_parents(weighted.t()?.matmul(&slopes.sums)?, &parents.v)?,
            energy: siblings.unfold(&down.neg()?)?,
        })
    }
}
