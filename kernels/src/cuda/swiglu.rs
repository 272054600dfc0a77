//! SwiGLU.

use super::launch::{Module, launch, module, shape};
use super::operand::{Input, Output, contiguous, device, suffix};
use candle_core::cuda_backend::CudaStorage;
use candle_core::{DType, Layout, Result, Shape, Tensor};

const SWIGLU: Module = module!("swiglu");
const BLOCK: usize = 256;

/// The kernel for rows of `half` columns, and its launches, since it counts threads in 32 bits: first row, number of
/// rows, blocks.
fn kernel(
    kind: &str,
    dtype: DType,
    rows: usize,
    half: usize,
    eight: bool,
) -> Result<(String, impl Iterator<Item = (usize, usize, usize)>)> {
    let step = if eight { 8 } else { 1 };
    let threads = half / step;
    let most = ((u32::MAX as usize - BLOCK) / threads).max(1);
    let launches = (0..rows).step_by(most).map(move |first| {
        let count = most.min(rows - first);
        (first, count, (count * threads).div_ceil(BLOCK))
    });
    Ok((format!("swiglu_{kind}_{}_{step}", suffix(dtype)?), launches))
}

/// `silu(first half) * second half` of the last dimension, `[.., 2m]` to `[.., m]`.
pub(crate) fn forward(x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
    let x_in = Input::fitting(x, layout, |view| view.row_stride().is_some())?;
    let mut dims = layout.dims().to_vec();
    let half = dims.last().map_or(0, |width| width / 2);
    if let Some(last) = dims.last_mut() {
        *last = half;
    }
    let rows: usize = dims.iter().rev().skip(1).product();
    let out = Output::new(&x.device, dims, x_in.dtype)?;
    if rows * half == 0 {
        return Ok(out.into_storage());
    }
    let stride = x_in.row_stride().unwrap_or(2 * half);
    let size = x_in.dtype.size_in_bytes();
    let (name, launches) = kernel("forward", x_in.dtype, rows, half, x_in.by_eight(&[stride, half]))?;
    for (first, count, blocks) in launches {
        launch!(
            SWIGLU,
            &x.device,
            &name,
            shape((blocks, 1, 1), (BLOCK, 1), 0),
            x_in.address + (first * stride * size) as u64,
            stride as i64,
            out.address + (first * half * size) as u64,
            count as u32,
            half as u32
        );
    }
    Ok(out.into_storage())
}

/// The gradient of x and, if asked for, the product once more, in the shape of `dy`.
pub(crate) fn backward(x: &Tensor, dy: &Tensor, with_product: bool) -> Result<(Tensor, Option<Tensor>)> {
    let (x, dy) = (x.contiguous()?, dy.contiguous()?);
    let half = x.dims().last().map_or(0, |width| width / 2);
    if dy.elem_count() == 0 {
        return Ok((x.zeros_like()?, with_product.then(|| dy.clone())));
    }
    let rows = dy.elem_count() / half;
    let (device, dtype) = (device(&x)?, x.dtype());
    let out = Output::new(device, x.shape().clone(), dtype)?;
    let product = with_product
        .then(|| Output::new(device, dy.shape().clone(), dtype))
        .transpose()?;
    let (x_at, dy_at) = (contiguous(&x, dtype)?, contiguous(&dy, dtype)?);
    let eight = half.is_multiple_of(8) && x_at.is_multiple_of(16) && dy_at.is_multiple_of(16);
    let size = dtype.size_in_bytes();
    let (name, launches) = kernel("backward", dtype, rows, half, eight)?;
    for (first, count, blocks) in launches {
        let (one, two) = ((first * half * size) as u64, (2 * first * half * size) as u64);
        launch!(
            SWIGLU,
            device,
            &name,
            shape((blocks, 1, 1), (BLOCK, 1), 0),
            x_at + two,
            dy_at + one,
            out.address + two,
            product.as_ref().map_or(0, |product| product.address + one),
            count as u32,
            half as u32
        );
    }
    Ok((out.into_tensor(), product.map(Output::into_tensor)))
}
