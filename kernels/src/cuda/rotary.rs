//! Per-head RMS norm, gain and rotation.

use super::launch::{Module, launch, module, shape};
use super::operand::{Input, Output, contiguous, device, suffix};
use super::reduce::column_sums;
use candle_core::cuda_backend::CudaStorage;
use candle_core::cuda_backend::cudarc::driver::DeviceRepr;
use candle_core::{DType, Layout, Result, Shape, Tensor, bail};

const ROTARY: Module = module!("rotary");
const BLOCK: usize = 256;
/// Blocks that share out the rows when the gain's gradient is summed.
const BLOCKS: usize = 132 * 4;

/// `Heads` of `cu/rotary.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Heads {
    batch: i64,
    time: i64,
    head: i64,
    times: i32,
    heads: i32,
    rows: i32,
    width: i32,
    angles: i32,
    eps: f32,
}
// SAFETY: plain numbers in C's layout.
unsafe impl DeviceRepr for Heads {}

impl Heads {
    fn new(x: &Input, cos: &Tensor, eps: f32) -> Result<Self> {
        let (dims, strides) = (x.layout.dims(), x.layout.stride());
        let &[batch, times, heads, width] = dims else {
            bail!("rotary: x of {dims:?}")
        };
        if !(16..=256).contains(&width) || !width.is_power_of_two() {
            bail!("rotary: on CUDA a head has 16, 32, 64, 128 or 256 numbers, not {width}");
        }
        let (sequences, ..) = cos.dims3()?;
        Ok(Self {
            batch: strides[0] as i64,
            time: strides[1] as i64,
            head: strides[2] as i64,
            times: times as i32,
            heads: heads as i32,
            rows: (batch * times * heads) as i32,
            width: width as i32,
            angles: (sequences * times) as i32,
            eps,
        })
    }

    /// Enough blocks for every row to have its lanes.
    fn blocks(&self, most: usize) -> usize {
        (self.rows as usize).div_ceil(BLOCK * 8 / self.width as usize).min(most)
    }
}

/// Whether lanes can read eight numbers each.
fn fits(x: &Input) -> bool {
    let strides = x.layout.stride();
    strides.last() == Some(&1) && x.by_eight(&strides[..strides.len() - 1])
}

/// `x: [B, T, H, D]` of any strides with D contiguous; `gain: [D]`, `cos` and `sin: [P, T, D/2]` f32.
pub(crate) fn forward(
    x: &CudaStorage,
    layout: &Layout,
    gain: &CudaStorage,
    gain_layout: &Layout,
    cos: &Tensor,
    sin: &Tensor,
    eps: f32,
) -> Result<(CudaStorage, Shape)> {
    let x_in = Input::fitting(x, layout, fits)?;
    let gain = Input::fitting(gain, gain_layout, |view| {
        view.layout.is_contiguous() && view.by_eight(&[])
    })?;
    let heads = Heads::new(&x_in, cos, eps)?;
    let out = Output::new(&x.device, layout.shape().clone(), x_in.dtype)?;
    if heads.rows == 0 {
        return Ok(out.into_storage());
    }
    let name = format!("rotary_forward_{}", suffix(x_in.dtype)?);
    let grid = shape((heads.blocks(132 * 32), 1, 1), (BLOCK, 1), 0);
    let (cos, sin) = (contiguous(cos, DType::F32)?, contiguous(sin, DType::F32)?);
    launch!(
        ROTARY,
        &x.device,
        &name,
        grid,
        x_in.address,
        gain.address,
        cos,
        sin,
        out.address,
        heads
    );
    Ok(out.into_storage())
}

/// The gradients of x, contiguous, and of the gain.
pub(crate) fn backward(
    x: &Tensor,
    gain: &Tensor,
    cos: &Tensor,
    sin: &Tensor,
    dy: &Tensor,
    eps: f32,
) -> Result<(Tensor, Tensor)> {
    let x = if fits(&Input::of(x)?) { x.clone() } else { x.copy()? };
    let (dy, gain) = (dy.contiguous()?, gain.contiguous()?);
    let (device, dtype) = (device(&x)?, x.dtype());
    let x_in = Input::of(&x)?;
    let heads = Heads::new(&x_in, cos, eps)?;
    if heads.rows == 0 {
        return Ok((x.zeros_like()?, gain.zeros_like()?));
    }
    let blocks = heads.blocks(BLOCKS);
    let out = Output::new(device, x.shape().clone(), dtype)?;
    let partial = Output::new(device, (blocks, heads.width as usize), DType::F32)?;
    let name = format!("rotary_backward_{}", suffix(dtype)?);
    launch!(
        ROTARY,
        device,
        &name,
        shape((blocks, 1, 1), (BLOCK, 1), BLOCK * 8 * size_of::<f32>()),
        x_in.address,
        contiguous(&gain, DType::F32)?,
        contiguous(cos, DType::F32)?,
        contiguous(sin, DType::F32)?,
        contiguous(&dy, dtype)?,
        out.address,
        partial.address,
        heads,
    );
    Ok((out.into_tensor(), column_sums(&partial.into_tensor())?))
}
