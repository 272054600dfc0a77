//! From positions to the nodes of the lowest level and back.

use candle_core::{DType, Result, Tensor};

use super::shape::Tree;

/// Sums over each lowest node, in f32: `[B, T, H, W]` to `[B * H, n, W]`.
pub(super) fn gather(x: &Tensor, tree: &Tree) -> Result<Tensor> {
    let (batch, _, heads, width) = x.dims4()?;
    let (nodes, slots) = (tree.leaves().nodes(), tree.leaves().branching);
    let x = pad(&x.to_dtype(DType::F32)?, 1, tree)?.reshape((batch * nodes, slots, heads * width))?;
    let ones = Tensor::ones((batch * nodes, 1, slots), DType::F32, x.device())?;
    let sums = ones.matmul(&x)?.reshape((batch, nodes, heads, width))?;
    sums.transpose(1, 2)?
        .contiguous()?
        .reshape((batch * heads, nodes, width))
}

/// [`gather`], divided by each node's positions.
pub(super) fn means(x: &Tensor, tree: &Tree) -> Result<Tensor> {
    gather(x, tree)?.broadcast_div(&sizes(tree, x)?)
}

/// Each position's part in the gradient of [`means`]: `[B * H, n, W]` to `[B, T, H, W]`.
pub(super) fn scatter(x: &Tensor, heads: usize, tree: &Tree) -> Result<Tensor> {
    at_positions(&x.broadcast_div(&sizes(tree, x)?)?, heads, tree)
}

/// Every position gets what its node has: `[B * H, n, W]` to `[B, T, H, W]`.
pub(super) fn at_positions(x: &Tensor, heads: usize, tree: &Tree) -> Result<Tensor> {
    let (rows, nodes, width) = x.dims3()?;
    let (batch, slots) = (rows / heads, tree.leaves().branching);
    let nodewise = x.reshape((batch, heads, nodes, width))?.transpose(1, 2)?.contiguous()?;
    let spread = nodewise
        .unsqueeze(2)?
        .broadcast_as((batch, nodes, slots, heads, width))?;
    let all = spread.reshape((batch, nodes * slots, heads, width))?;
    all.narrow(1, 0, tree.positions())
}

/// The mean over each lowest node of numbers by head and position: `[B, H, T]` to `[B * H, n]`.
pub(super) fn means_of_scalars(x: &Tensor, tree: &Tree) -> Result<Tensor> {
    let (batch, heads, _) = x.dims3()?;
    let (nodes, slots) = (tree.leaves().nodes(), tree.leaves().branching);
    let sums = pad(x, 2, tree)?.reshape((batch * heads, nodes, slots))?.sum(2)?;
    sums.broadcast_div(&sizes(tree, x)?.squeeze(1)?)
}

/// Each position's part in the gradient of [`means_of_scalars`]: `[B * H, n]` to `[B, H, T]`.
pub(super) fn scatter_scalars(x: &Tensor, heads: usize, tree: &Tree) -> Result<Tensor> {
    let (rows, nodes) = x.dims2()?;
    let slots = tree.leaves().branching;
    let each = x.broadcast_div(&sizes(tree, x)?.squeeze(1)?)?.unsqueeze(2)?;
    let all = each.broadcast_as((rows, nodes, slots))?;
    let all = all.reshape((rows / heads, heads, nodes * slots))?;
    all.narrow(2, 0, tree.positions())?.contiguous()
}

/// Key heads `[B * G, n, W]` once for each query head that reads them: `[B * H, n, W]`.
pub(super) fn share(x: &Tensor, times: usize) -> Result<Tensor> {
    let (rows, nodes, width) = x.dims3()?;
    let all = x.unsqueeze(1)?.broadcast_as((rows, times, nodes, width))?;
    all.reshape((rows * times, nodes, width))
}

/// The gradient of [`share`].
pub(super) fn unshare(x: &Tensor, times: usize) -> Result<Tensor> {
    let (rows, nodes, width) = x.dims3()?;
    x.reshape((rows / times, times, nodes, width))?.sum(1)
}

/// Positions of each lowest node, `[n, 1]` f32.
fn sizes(tree: &Tree, like: &Tensor) -> Result<Tensor> {
    let sizes: Vec<f32> = tree.leaves().sizes().into_iter().map(|size| size as f32).collect();
    let nodes = sizes.len();
    Tensor::from_vec(sizes, (nodes, 1), like.device())
}

fn pad(x: &Tensor, dim: usize, tree: &Tree) -> Result<Tensor> {
    match tree.leaves().slots() - tree.positions() {
        0 => Ok(x.clone()),
        missing => x.pad_with_zeros(dim, 0, missing),
    }
}
