//! RMS norm of rows.

use super::launch::{Module, launch, module, shape};
use super::operand::{Input, Output, contiguous, device, suffix};
use super::reduce::column_sums;
use candle_core::cuda_backend::cudarc::driver::LaunchConfig;
use candle_core::cuda_backend::{CudaDevice, CudaStorage};
use candle_core::{DType, Layout, Result, Shape, Tensor};

const NORM: Module = module!("norm");
const WARPS: usize = 8;
/// Blocks that share out the rows when the gain's gradient is summed: whole waves at two or three on a multiprocessor.
const BLOCKS: usize = 132 * 6;
/// Shared memory for the sums of one block, without asking for more.
const SHARED: usize = 48 << 10;

/// The last dimension of a tensor as rows.
pub(super) struct Rows {
    pub(super) count: usize,
    pub(super) width: usize,
}

impl Rows {
    pub(super) fn of(dims: &[usize]) -> Self {
        let (width, rest) = dims.split_last().map_or((1, dims), |(&width, rest)| (width, rest));
        Self {
            count: rest.iter().product(),
            width,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count * self.width == 0
    }

    /// A kernel that reads eight numbers at a time needs aligned rows; one that keeps the row in registers, short ones.
    pub(super) fn kernel(&self, kind: &str, dtype: DType, aligned: bool) -> Result<String> {
        let form = match self.width {
            width if !aligned || !width.is_multiple_of(8) => "1",
            0..=512 => "512",
            513..=1024 => "1024",
            _ => "8",
        };
        Ok(format!("{kind}_{}_{form}", suffix(dtype)?))
    }

    /// A warp a row, and more blocks than can run at a time.
    pub(super) fn forward_shape(&self) -> LaunchConfig {
        shape((self.count.div_ceil(WARPS).min(132 * 32), 1, 1), (32, WARPS), 0)
    }

    /// As many warps as have shared memory to sum `summed` columns each, in blocks that each leave a row of sums.
    pub(super) fn backward_shape(&self, summed: usize) -> LaunchConfig {
        let warps = WARPS.min(SHARED / (4 * summed.max(1))).max(1);
        let blocks = self.count.div_ceil(warps).min(BLOCKS);
        shape((blocks, 1, 1), (32, warps), warps * summed * 4)
    }
}

/// `x r gain` with `r = 1 / sqrt(mean(x^2) + eps)`; `x: [.., d]`, `gain: [d]` f32.
pub(crate) fn forward(
    x: &CudaStorage,
    layout: &Layout,
    gain: Option<(&CudaStorage, &Layout)>,
    eps: f32,
) -> Result<(CudaStorage, Shape)> {
    let x_in = Input::fitting(x, layout, |view| view.row_stride().is_some())?;
    let gain = gain
        .map(|(gain, layout)| Input::fitting(gain, layout, |view| view.layout.is_contiguous()))
        .transpose()?;
    let out = Output::new(&x.device, layout.shape().clone(), x_in.dtype)?;
    launch_forward(
        &x.device,
        &Rows::of(layout.dims()),
        &x_in,
        None,
        gain.as_ref(),
        &out,
        eps,
    )?;
    Ok(out.into_storage())
}

/// The norm of `x`, whose rows have one distance, or of its sum with a contiguous tensor, which is written too.
pub(super) fn launch_forward(
    device: &CudaDevice,
    rows: &Rows,
    x: &Input,
    added: Option<(&Input, &Output)>,
    gain: Option<&Input>,
    out: &Output,
    eps: f32,
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let stride = x.row_stride().unwrap_or(rows.width);
    let aligned = x.by_eight(&[stride])
        && gain.is_none_or(|gain| gain.by_eight(&[]))
        && added.is_none_or(|(delta, _)| delta.by_eight(&[]));
    let name = rows.kernel("rms_norm_forward", x.dtype, aligned)?;
    launch!(
        NORM,
        device,
        &name,
        rows.forward_shape(),
        x.address,
        stride as i64,
        added.map_or(0, |(delta, _)| delta.address),
        gain.map_or(0, |gain| gain.address),
        added.map_or(0, |(_, sum)| sum.address),
        out.address,
        rows.count as i32,
        rows.width as i32,
        eps
    );
    Ok(())
}

/// The gradients of x and, in f32, of the gain.
pub(crate) fn backward(x: &Tensor, gain: Option<&Tensor>, dy: &Tensor, eps: f32) -> Result<(Tensor, Option<Tensor>)> {
    gradients(x, gain, None, dy, eps)
}

/// As [`backward`], with `dsum` added to the gradient of x.
pub(super) fn gradients(
    x: &Tensor,
    gain: Option<&Tensor>,
    dsum: Option<&Tensor>,
    dy: &Tensor,
    eps: f32,
) -> Result<(Tensor, Option<Tensor>)> {
    let (x, dy) = (x.contiguous()?, dy.contiguous()?);
    let gain = gain.map(Tensor::contiguous).transpose()?;
    let dsum = dsum.map(Tensor::contiguous).transpose()?;
    let (device, dtype) = (device(&x)?, x.dtype());
    let rows = Rows::of(x.dims());
    if rows.is_empty() {
        let dgain = gain.map(|gain| gain.zeros_like()).transpose()?;
        return Ok((x.zeros_like()?, dgain));
    }
    let summed = if gain.is_some() { rows.width } else { 0 };
    let grid = rows.backward_shape(summed);
    let out = Output::new(device, x.shape().clone(), dtype)?;
    let (x_at, dy_at) = (contiguous(&x, dtype)?, contiguous(&dy, dtype)?);
    let gain_at = gain.as_ref().map(|gain| contiguous(gain, DType::F32)).transpose()?;
    let dsum_at = dsum.as_ref().map(|dsum| contiguous(dsum, dtype)).transpose()?;
    let partial = gain_at
        .map(|_| Output::new(device, (grid.grid_dim.0 as usize, rows.width), DType::F32))
        .transpose()?;
    let aligned = [x_at, dy_at, gain_at.unwrap_or(0), dsum_at.unwrap_or(0)]
        .iter()
        .all(|at| at.is_multiple_of(16));
    let name = rows.kernel("rms_norm_backward", dtype, aligned)?;
    launch!(
        NORM,
        device,
        &name,
        grid,
        x_at,
        gain_at.unwrap_or(0),
        dsum_at.unwrap_or(0),
        dy_at,
        out.address,
        partial.as_ref().map_or(0, |partial| partial.address),
        rows.count as i32,
        rows.width as i32,
        eps,
    );
    let dgain = partial.map(|partial| column_sums(&partial.into_tensor())).transpose()?;
    Ok((out.into_tensor(), dgain))
}
