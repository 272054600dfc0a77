//! What a level of siblings brings to its arithmetic: sizes and masks, as tensors.

use candle_core::{Device, Result, Tensor};

use super::shape::{Level, Tree};

/// One upper level: `n` nodes of up to `b` children each.
#[derive(Debug, Clone)]
pub(super) struct Siblings {
    /// `m`, the children of all nodes.
    pub(super) children: usize,
    /// `n`.
    pub(super) nodes: usize,
    /// `b`.
    pub(super) branching: usize,
    /// The share of its node's positions that each child holds, `[n, b]`; 0 where a node is short of children.
    pub(super) shares: Tensor,
    /// Added to the scores, `[n, b, b]`: the logarithm of the key's positions (as many equal keys weigh as much), 0 on
    /// the diagonal, negative infinity for children that are not there or are read exactly.
    pub(super) bias: Tensor,
    /// The identity, `[b, b]`.
    pub(super) eye: Tensor,
}

impl Siblings {
    /// Those of each upper level, from below.
    pub(super) fn of(tree: &Tree, device: &Device) -> Result<Vec<Self>> {
        let near = |above: usize| if above == 0 { tree.near() } else { 0 };
        let levels = tree.upper().iter().enumerate();
        levels
            .map(|(above, level)| Self::new(level, near(above), device))
            .collect()
    }

    fn new(level: &Level, near: usize, device: &Device) -> Result<Self> {
        let (nodes, b) = (level.nodes(), level.branching);
        let mut shares = vec![0.0f32; level.slots()];
        let mut bias = vec![f32::NEG_INFINITY; level.slots() * b];
        for (node, children) in level.children.chunks(b).enumerate() {
            let positions: usize = children.iter().sum();
            for (child, size) in children.iter().enumerate() {
                shares[node * b + child] = (*size as f64 / positions as f64) as f32;
                let weight = (*size as f64).ln() as f32;
                for query in 0..b {
                    let apart = query.abs_diff(child);
                    bias[(node * b + query) * b + child] = match apart {
                        0 => 0.0,
                        _ if apart <= near => f32::NEG_INFINITY,
                        _ => weight,
                    };
                }
            }
        }
        Ok(Self {
            children: level.children.len(),
            nodes,
            branching: b,
            shares: Tensor::from_vec(shares, (nodes, b), device)?,
            bias: Tensor::from_vec(bias, (nodes, b, b), device)?,
            eye: Tensor::eye(b, candle_core::DType::F32, device)?,
        })
    }

    /// `[R, m, ..]` as `[R * n, b, ..]`, zeros for the children that are not there.
    pub(super) fn fold(&self, x: &Tensor) -> Result<Tensor> {
        let mut dims = x.dims().to_vec();
        let missing = self.nodes * self.branching - self.children;
        let x = if missing == 0 {
            x.clone()
        } else {
            x.pad_with_zeros(1, 0, missing)?
        };
        (dims[0], dims[1]) = (dims[0] * self.nodes, self.branching);
        x.reshape(dims)
    }

    /// [`Siblings::fold`] undone.
    pub(super) fn unfold(&self, x: &Tensor) -> Result<Tensor> {
        let mut dims = x.dims().to_vec();
        (dims[0], dims[1]) = (dims[0] / self.nodes, self.nodes * self.branching);
        x.reshape(dims)?.narrow(1, 0, self.children)?.contiguous()
    }

    /// What each child contributes to the mean of its node, one row for each of `R * n` nodes: `[R * n, 1, b]`.
    pub(super) fn averages(&self, rows: usize) -> Result<Tensor> {
        let shares = self.shares.reshape((1, self.nodes, 1, self.branching))?;
        let all = shares.broadcast_as((rows, self.nodes, 1, self.branching))?;
        all.reshape((rows * self.nodes, 1, self.branching))
    }
}
