//! Per-head RMS norm, gain and rotation.

use super::launch::{Module, launch, module, shape};
use super::operand::{Input, Output, contiguous, device, suffix};
use super::reduce::column_sums;
use crate::tape::HeadNorms;
use candle_core::cuda_backend::cudarc::driver::DeviceRepr;
use candle_core::cuda_backend::{CudaDevice, CudaStorage};
use candle_core::{DType, Layout, Result, Shape, Tensor, bail};

const ROTARY: Module = module!("rotary");
const WARPS: usize = 4;
const BLOCK: usize = 32 * WARPS;
/// Blocks that share out the tokens when the gain's gradient is summed: all that run at once, at four on a
/// multiprocessor.
const BLOCKS: usize = 132 * 4;

/// `Heads` of `cu/rotary.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Heads {
    batch: i64,
    time: i64,
    head: i64,
    tokens: i32,
    times: i32,
    queries: i32,
    keys: i32,
    width: i32,
    angles: i32,
    eps: f32,
}
// SAFETY: plain numbers in C's layout.
unsafe impl DeviceRepr for Heads {}

impl Heads {
    /// Of `x: [B, T, queries + 2 keys, D]`.
    fn new(x: &Input, keys: usize, cos: &Tensor, eps: Option<f32>) -> Result<Self> {
        let (dims, strides) = (x.layout.dims(), x.layout.stride());
        let &[batch, times, heads, width] = dims else {
            bail!("rotary: x of {dims:?}")
        };
        if !(16..=256).contains(&width) || !width.is_power_of_two() {
            bail!("rotary: on CUDA a head has 16, 32, 64, 128 or 256 numbers, not {width}");
        }
        let (sequences, positions, half) = cos.dims3()?;
        if heads < 2 * keys || positions != times || 2 * half != width || (sequences != 1 && sequences != batch) {
            bail!("rotary: {dims:?} with {keys} heads of keys, angles {:?}", cos.dims());
        }
        Ok(Self {
            batch: strides[0] as i64,
            time: strides[1] as i64,
            head: strides[2] as i64,
            tokens: (batch * times) as i32,
            times: times as i32,
            queries: (heads - 2 * keys) as i32,
            keys: keys as i32,
            width: width as i32,
            angles: (sequences * times) as i32,
            eps: eps.unwrap_or(-1.0),
        })
    }

    fn is_empty(&self) -> bool {
        self.tokens == 0 || self.queries == 0
    }

    /// At most `most` blocks, for the queries and, if there are any, for the keys.
    fn grid(&self, most: usize) -> (usize, usize, usize) {
        let kinds = if self.keys > 0 { 2 } else { 1 };
        ((self.tokens as usize).div_ceil(WARPS).min(most), kinds, 1)
    }
}

/// Addresses of the gains of queries and keys and of the angles.
struct Tables {
    gains: [u64; 2],
    cos: u64,
    sin: u64,
}

impl Tables {
    fn new(gains: [u64; 2], cos: &Tensor, sin: &Tensor) -> Result<Self> {
        let tables = Self {
            gains,
            cos: contiguous(cos, DType::F32)?,
            sin: contiguous(sin, DType::F32)?,
        };
        let all = tables.gains[0] | tables.gains[1] | tables.cos | tables.sin;
        if !all.is_multiple_of(16) {
            bail!("rotary: gains and angles must be aligned to 16 bytes");
        }
        Ok(tables)
    }
}

/// Whether lanes can read eight numbers each.
fn fits(x: &Input) -> bool {
    let strides = x.layout.stride();
    strides.last() == Some(&1) && x.by_eight(&strides[..strides.len() - 1])
}

/// A tensor whose heads lanes can read eight numbers at a time: itself, or a copy.
fn fitting(x: &Tensor) -> Result<Tensor> {
    if fits(&Input::of(x)?) { Ok(x.clone()) } else { x.copy() }
}

/// A contiguous tensor that starts at a multiple of 16 bytes: itself, or a copy.
fn aligned(x: &Tensor) -> Result<Tensor> {
    let x = x.contiguous()?;
    if Input::of(&x)?.by_eight(&[]) { Ok(x) } else { x.copy() }
}

/// `x: [B, T, H, D]` of any strides with D contiguous; `gain: [D]`, `cos` and `sin: [P, T, D/2]` f32.
pub(crate) fn forward(
    x: &CudaStorage,
    layout: &Layout,
    gain: &CudaStorage,
    gain_layout: &Layout,
    cos: &Tensor,
    sin: &Tensor,
    eps: Option<f32>,
) -> Result<(CudaStorage, Shape)> {
    let x_in = Input::fitting(x, layout, fits)?;
    let gain = Input::fitting(gain, gain_layout, |view| {
        view.layout.is_contiguous() && view.by_eight(&[])
    })?;
    let heads = Heads::new(&x_in, 0, cos, eps)?;
    let out = Output::new(&x.device, layout.shape().clone(), x_in.dtype)?;
    let tables = Tables::new([gain.address; 2], cos, sin)?;
    launch_forward(&x.device, &x_in, &heads, &tables, [out.address, 0])?;
    Ok(out.into_storage())
}

/// Queries `[B, T, H, D]` and keys `[B, T, G, D]` of `qkv: [B, T, H + 2 G, D]`, with gains `[D]` f32.
pub(crate) fn qkv_forward(
    qkv: &Tensor,
    HeadNorms {
        gains: [q_gain, k_gain],
        eps,
    }: HeadNorms<'_>,
    cos: &Tensor,
    sin: &Tensor,
    (heads, key_heads): (usize, usize),
) -> Result<(Tensor, Tensor)> {
    let (qkv, q_gain, k_gain) = (fitting(qkv)?, aligned(q_gain)?, aligned(k_gain)?);
    let (batch, times, all, width) = qkv.dims4()?;
    if all != heads + 2 * key_heads {
        bail!("rotary: {all} heads are not {heads} of queries and {key_heads} each of keys and values");
    }
    let (device, dtype) = (device(&qkv)?, qkv.dtype());
    let x_in = Input::of(&qkv)?;
    let shapes = Heads::new(&x_in, key_heads, cos, eps)?;
    let q = Output::new(device, (batch, times, heads, width), dtype)?;
    let k = Output::new(device, (batch, times, key_heads, width), dtype)?;
    let gains = [contiguous(&q_gain, DType::F32)?, contiguous(&k_gain, DType::F32)?];
    let tables = Tables::new(gains, cos, sin)?;
    launch_forward(device, &x_in, &shapes, &tables, [q.address, k.address])?;
    Ok((q.into_tensor(), k.into_tensor()))
}

fn launch_forward(device: &CudaDevice, x: &Input, heads: &Heads, tables: &Tables, [q, k]: [u64; 2]) -> Result<()> {
    if heads.is_empty() {
        return Ok(());
    }
    launch!(
        ROTARY,
        device,
        &format!("rotary_forward_{}", suffix(x.dtype)?),
        shape(heads.grid(132 * 32), (BLOCK, 1), 0),
        x.address,
        tables.gains[0],
        tables.gains[1],
        tables.cos,
        tables.sin,
        q,
        k,
        *heads
    );
    Ok(())
}

/// The gradients of x, contiguous, and of the gain.
pub(crate) fn backward(
    x: &Tensor,
    gain: &Tensor,
    cos: &Tensor,
    sin: &Tensor,
    dy: &Tensor,
    eps: Option<f32>,
) -> Result<(Tensor, Tensor)> {
    let gains = [gain, gain];
    let (dx, dgain) = gradients(x, HeadNorms { gains, eps }, cos, sin, &[dy])?;
    Ok((dx, dgain.flatten_all()?))
}

/// The gradients of qkv, contiguous, and in f32 of both gains, from those of the queries, keys and values.
pub(crate) fn qkv_backward(
    qkv: &Tensor,
    norms: HeadNorms<'_>,
    cos: &Tensor,
    sin: &Tensor,
    [dq, dk, dv]: [&Tensor; 3],
) -> Result<(Tensor, Tensor, Tensor)> {
    if dk.shape() != dv.shape() {
        bail!(
            "rotary: gradients {:?} of keys and {:?} of values",
            dk.dims(),
            dv.dims()
        );
    }
    let (dqkv, dgains) = gradients(qkv, norms, cos, sin, &[dq, dk, dv])?;
    Ok((dqkv, dgains.get(0)?, dgains.get(1)?))
}

/// `dy` is of queries alone, or of queries, keys and values. The gradient of the gains is `[1 or 2, D]`.
fn gradients(
    x: &Tensor,
    HeadNorms { gains, eps }: HeadNorms<'_>,
    cos: &Tensor,
    sin: &Tensor,
    dy: &[&Tensor],
) -> Result<(Tensor, Tensor)> {
    let x = fitting(x)?;
    let dy: Vec<Tensor> = dy.iter().map(|dy| aligned(dy)).collect::<Result<_>>()?;
    let gains = [aligned(gains[0])?, aligned(gains[1])?];
    let (device, dtype) = (device(&x)?, x.dtype());
    let x_in = Input::of(&x)?;
    let (batch, times, all, width) = x.dims4()?;
    let keys = dy.get(1).map_or(Ok(0), |dk| dk.dim(2))?;
    let heads = Heads::new(&x_in, keys, cos, eps)?;
    let kinds = if keys > 0 { 2 } else { 1 };
    let count = |index: usize| if index == 0 { all - 2 * keys } else { keys };
    for (index, dy) in dy.iter().enumerate() {
        if dy.dims() != [batch, times, count(index), width] {
            bail!("rotary: gradient {:?} for {:?}", dy.dims(), x.dims());
        }
    }
    if heads.is_empty() || dy.len() != 2 * kinds - 1 {
        bail!("rotary: no heads in {:?} with {keys} of keys", x.dims());
    }
    let out = Output::new(device, x.shape().clone(), dtype)?;
    let grid = heads.grid(BLOCKS);
    let partial = Output::new(device, (grid.0, kinds * width), DType::F32)?;
    let gains_at = [contiguous(&gains[0], DType::F32)?, contiguous(&gains[1], DType::F32)?];
    let tables = Tables::new(gains_at, cos, sin)?;
    let dy_at: Vec<u64> = dy.iter().map(|dy| contiguous(dy, dtype)).collect::<Result<_>>()?;
    let dy_at = |index: usize| dy_at.get(index).copied().unwrap_or(0);
    launch!(
        ROTARY,
        device,
        &format!("rotary_backward_{}", suffix(dtype)?),
        shape(grid, (BLOCK, 1), BLOCK * 8 * size_of::<f32>()),
        x_in.address,
        tables.gains[0],
        tables.gains[1],
        tables.cos,
        tables.sin,
        dy_at(0),
        dy_at(1),
        dy_at(2),
        out.address,
        partial.address,
        heads,
    );
    let dgains = column_sums(&partial.into_tensor())?.reshape((kinds, width))?;
    Ok((out.into_tensor(), dgains))
}
