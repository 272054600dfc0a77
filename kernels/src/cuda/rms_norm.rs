//! RMS norm of rows.

use super::launch::{Module, launch, module, shape};
use super::operand::{Input, Output, contiguous, device, suffix};
use super::reduce::column_sums;
use candle_core::cuda_backend::CudaStorage;
use candle_core::{DType, Layout, Result, Shape, Tensor};

const NORM: Module = module!("norm");
const WARPS: usize = 8;
/// Blocks that share out the rows when the gain's gradient is summed.
const BLOCKS: usize = 132 * 4;
/// Shared memory for the sums of one block, without asking for more.
const SHARED: usize = 48 << 10;

fn name(kind: &str, dtype: DType, eight: bool) -> Result<String> {
    Ok(format!(
        "rms_norm_{kind}_{}_{}",
        suffix(dtype)?,
        if eight { 8 } else { 1 }
    ))
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
    let width = layout.dims().last().copied().unwrap_or(1);
    let rows = layout.shape().elem_count() / width.max(1);
    if rows == 0 || width == 0 {
        return Ok(out.into_storage());
    }
    let stride = x_in.row_stride().unwrap_or(width);
    let eight = x_in.by_eight(&[stride, width]) && gain.as_ref().is_none_or(|gain| gain.by_eight(&[]));
    let grid = shape((rows.div_ceil(WARPS).min(132 * 32), 1, 1), (32, WARPS), 0);
    let gain_at = gain.as_ref().map_or(0, |gain| gain.address);
    let name = name("forward", x_in.dtype, eight)?;
    launch!(
        NORM,
        &x.device,
        &name,
        grid,
        x_in.address,
        stride as i64,
        gain_at,
        out.address,
        rows as i32,
        width as i32,
        eps
    );
    Ok(out.into_storage())
}

/// The gradients of x and, in f32, of the gain.
pub(crate) fn backward(x: &Tensor, gain: Option<&Tensor>, dy: &Tensor, eps: f32) -> Result<(Tensor, Option<Tensor>)> {
    let (x, dy) = (x.contiguous()?, dy.contiguous()?);
    let gain = gain.map(Tensor::contiguous).transpose()?;
    let (device, dtype) = (device(&x)?, x.dtype());
    let width = x.dims().last().copied().unwrap_or(1);
    let rows = x.elem_count() / width.max(1);
    if rows == 0 || width == 0 {
        let dgain = gain.map(|gain| gain.zeros_like()).transpose()?;
        return Ok((x.zeros_like()?, dgain));
    }
    let warps = if gain.is_some() {
        WARPS.min(SHARED / (4 * width)).max(1)
    } else {
        WARPS
    };
    let blocks = rows.div_ceil(warps).min(BLOCKS);
    let out = Output::new(device, x.shape().clone(), dtype)?;
    let (x_at, dy_at) = (contiguous(&x, dtype)?, contiguous(&dy, dtype)?);
    let gain_at = gain.as_ref().map(|gain| contiguous(gain, DType::F32)).transpose()?;
    let partial = gain_at
        .map(|_| Output::new(device, (blocks, width), DType::F32))
        .transpose()?;
    let aligned = [x_at, dy_at, gain_at.unwrap_or(0)]
        .iter()
        .all(|at| at.is_multiple_of(16));
    let name = name("backward", dtype, aligned && width.is_multiple_of(8))?;
    let shared = if gain.is_some() { warps * width * 4 } else { 0 };
    launch!(
        NORM,
        device,
        &name,
        shape((blocks, 1, 1), (32, warps), shared),
        x_at,
        gain_at.unwrap_or(0),
        dy_at,
        out.address,
        partial.as_ref().map_or(0, |partial| partial.address),
        rows as i32,
        width as i32,
        eps,
    );
    let dgain = partial.map(|partial| column_sums(&partial.into_tensor())).transpose()?;
    Ok((out.into_tensor(), dgain))
}
