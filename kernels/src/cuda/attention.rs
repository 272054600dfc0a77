//! Attention over a tile plan: tensor-core kernels for bf16 heads of 64 and 128, in a form for compute capability 9.0
//! and one for all since 8.0, and simple kernels for everything else.

use super::launch::{Module, launch, module, shape};
use super::operand::{Input, Output, contiguous, device, suffix};
use super::plan::{DevicePlan, Walk};
use crate::ops::Attention;
use crate::plan::{TILE, TilePlan};
use candle_core::cuda_backend::cudarc::driver::{DeviceRepr, LaunchConfig};
use candle_core::cuda_backend::{CudaDevice, CudaStorage, WrapErr};
use candle_core::{DType, Layout, Result, Tensor, bail};

const FORWARD: Module = module!("attention_forward");
const BACKWARD: Module = module!("attention_backward");
const SIMPLE: Module = module!("attention_simple");
const FORWARD_SM90: Module = module!("attention_forward_sm90");
const BACKWARD_SM90: Module = module!("attention_backward_sm90");
const THREADS: usize = 128;
/// Tiles that the kernels for compute capability 9.0 keep in shared memory beside their own.
const STAGED: usize = 4 * 2;
/// Widest head of the simple kernels.
const WIDEST: usize = 256;

/// `View` of `cu/attention.cuh`.
#[repr(C)]
#[derive(Clone, Copy)]
struct View {
    data: u64,
    batch: i64,
    time: i64,
    head: i64,
}
// SAFETY: plain numbers in C's layout.
unsafe impl DeviceRepr for View {}

impl View {
    fn new(input: &Input) -> Self {
        let strides = input.layout.stride();
        Self {
            data: input.address,
            batch: strides[0] as i64,
            time: strides[1] as i64,
            head: strides[2] as i64,
        }
    }
}

/// `Geometry` of `cu/attention.cuh`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Geometry {
    queries: i32,
    keys: i32,
    heads: i32,
    key_heads: i32,
    query_tiles: i32,
    key_tiles: i32,
    width: i32,
    shared: i32,
    scale: f32,
}
// SAFETY: plain numbers in C's layout.
unsafe impl DeviceRepr for Geometry {}

/// Which kernels take a call.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// Any element type and width.
    Simple,
    /// bf16 and the widths of [`FAST`], one or two tiles a block.
    Sm80,
    /// The same on compute capability 9.0, two tiles a block.
    Sm90,
}

/// Head widths of the tensor-core kernels.
const FAST: [usize; 2] = [64, 128];

/// Which kernels to use, and the sizes that both passes need.
struct Call {
    geometry: Geometry,
    batch: usize,
    dtype: DType,
    form: Form,
}

impl Call {
    fn new(q: &Input, k: &Input, plan: &TilePlan, scale: f32, device: &CudaDevice) -> Result<Self> {
        let (&[batch, queries, heads, width], &[_, keys, key_heads, _]) = (q.layout.dims(), k.layout.dims()) else {
            bail!("attention: q {:?}, k {:?}", q.layout.dims(), k.layout.dims())
        };
        if width > WIDEST {
            bail!("attention: on CUDA a head has at most {WIDEST} numbers, not {width}");
        }
        let geometry = Geometry {
            queries: queries as i32,
            keys: keys as i32,
            heads: heads as i32,
            key_heads: key_heads as i32,
            query_tiles: plan.query_tiles() as i32,
            key_tiles: plan.key_tiles() as i32,
            width: width as i32,
            shared: i32::from(plan.sequences() == 1),
            scale,
        };
        let form = if q.dtype != DType::BF16 || !FAST.contains(&width) {
            Form::Simple
        } else if has_warpgroups(device)? {
            Form::Sm90
        } else {
            Form::Sm80
        };
        Ok(Self {
            geometry,
            batch,
            dtype: q.dtype,
            form,
        })
    }

    fn name(&self, kind: &str) -> Result<String> {
        Ok(match self.form {
            Form::Simple => format!("attention_{kind}_{}", suffix(self.dtype)?),
            Form::Sm80 | Form::Sm90 => format!("attention_{kind}_{}", self.geometry.width),
        })
    }

    /// Bytes of `count` tiles.
    fn tiles(&self, count: usize) -> usize {
        count * TILE * self.geometry.width as usize * 2
    }

    fn is_empty(&self) -> bool {
        self.batch * self.geometry.queries as usize * self.geometry.heads as usize == 0
    }

    /// A launch for `per_block` positions of `length`, one head and one batch entry a block.
    fn shape(&self, length: i32, per_block: usize, heads: i32, threads: usize, shared: usize) -> LaunchConfig {
        let blocks = (length as usize).div_ceil(per_block);
        shape((blocks, heads as usize, self.batch), (threads, 1), shared)
    }
}

/// Whether the device runs the kernels for compute capability 9.0, which no newer one does, and they were compiled.
fn has_warpgroups(device: &CudaDevice) -> Result<bool> {
    let capability = device.cuda_stream().context().compute_capability().w()?;
    Ok(capability == (9, 0) && !FORWARD_SM90.ptx.is_empty())
}

/// Whether the kernels can read a view: D contiguous, and rows at 16-byte boundaries.
fn fits(x: &Input) -> bool {
    let strides = x.layout.stride();
    strides.last() == Some(&1) && (x.dtype != DType::BF16 || x.by_eight(&strides[..strides.len() - 1]))
}

/// Output `[B, T, H, D]` and log-sum-exp `[B, H, T]` f32; `q: [B, T, H, D]`, `k` and `v: [B, S, G, D]`.
#[expect(
    clippy::too_many_arguments,
    reason = "three views are six arguments in candle's custom operations"
)]
pub(crate) fn forward(
    q: &CudaStorage,
    lq: &Layout,
    k: &CudaStorage,
    lk: &Layout,
    v: &CudaStorage,
    lv: &Layout,
    plan: &TilePlan,
    scale: f32,
) -> Result<(CudaStorage, Tensor)> {
    let device = &q.device;
    let [q, k, v] = [(q, lq), (k, lk), (v, lv)].map(|(storage, layout)| Input::fitting(storage, layout, fits));
    let (q, k, v) = (q?, k?, v?);
    let call = Call::new(&q, &k, plan, scale, device)?;
    let g = call.geometry;
    let out = Output::new(device, lq.shape().clone(), call.dtype)?;
    let lse = Output::new(device, (call.batch, g.heads as usize, g.queries as usize), DType::F32)?;
    if !call.is_empty() {
        let uploaded = DevicePlan::of(plan, device)?;
        let (module, walk, per_block, threads, shared) = match call.form {
            Form::Simple => (&SIMPLE, Walk::Rows, THREADS / 32, THREADS, 0),
            Form::Sm80 => (&FORWARD, Walk::RowPairs, 2 * TILE, THREADS, call.tiles(6)),
            Form::Sm90 => (
                &FORWARD_SM90,
                Walk::RowPairs,
                2 * TILE,
                2 * THREADS,
                call.tiles(2 + STAGED),
            ),
        };
        let grid = call.shape(g.queries, per_block, g.heads, threads, shared);
        let lists = uploaded.walk(walk, device);
        let (q, k, v) = (View::new(&q), View::new(&k), View::new(&v));
        launch!(
            module,
            device,
            &call.name("forward")?,
            grid,
            q,
            k,
            v,
            out.address,
            lse.address,
            lists,
            g
        );
    }
    Ok((out.into_storage().0, lse.into_tensor()))
}

/// The gradients of q, k and v, contiguous, from those of the output and, if there is one, of the log-sum-exp.
pub(crate) fn backward(
    [q, k, v]: [&Tensor; 3],
    Attention { out, lse }: &Attention,
    dout: &Tensor,
    dlse: Option<&Tensor>,
    plan: &TilePlan,
    scale: f32,
) -> Result<(Tensor, Tensor, Tensor)> {
    let device = device(q)?;
    let readable = |x: &Tensor| -> Result<Tensor> { if fits(&Input::of(x)?) { Ok(x.clone()) } else { x.copy() } };
    let (q, k, v, dout) = (readable(q)?, readable(k)?, readable(v)?, dout.contiguous()?);
    let [q_in, k_in, v_in, dout_in] = [&q, &k, &v, &dout].map(Input::of);
    let (q_in, k_in, v_in, dout_in) = (q_in?, k_in?, v_in?, dout_in?);
    let call = Call::new(&q_in, &k_in, plan, scale, device)?;
    let g = call.geometry;
    if call.is_empty() {
        return Ok((q.zeros_like()?, k.zeros_like()?, v.zeros_like()?));
    }
    let uploaded = DevicePlan::of(plan, device)?;
    let dlse = dlse.map(Tensor::contiguous).transpose()?;
    let sums = summaries(&call, device, &out.contiguous()?, &dout, lse, dlse.as_ref())?;
    let [dq, dk, dv] = [&q, &k, &v].map(|x| Output::new(device, x.shape().clone(), call.dtype));
    let (dq, dk, dv) = (dq?, dk?, dv?);
    let (q, k, v, dout) = (
        View::new(&q_in),
        View::new(&k_in),
        View::new(&v_in),
        View::new(&dout_in),
    );
    let (module, cols, rows, per_block, threads, shared) = match call.form {
        Form::Simple => (&SIMPLE, Walk::Cols, Walk::Rows, THREADS / 32, THREADS, 0),
        // Two tiles to stay, two stages of two tiles.
        Form::Sm80 => (&BACKWARD, Walk::Cols, Walk::Rows, TILE, THREADS, call.tiles(6)),
        Form::Sm90 => {
            let shared = call.tiles(4 + STAGED);
            (
                &BACKWARD_SM90,
                Walk::ColPairs,
                Walk::RowPairs,
                2 * TILE,
                2 * THREADS,
                shared,
            )
        }
    };
    if g.keys > 0 {
        // Each stage has a pair of numbers for each query.
        let staged_sums = match call.form {
            Form::Simple => 0,
            Form::Sm80 => 2 * TILE * 8,
            Form::Sm90 => STAGED / 2 * TILE * 8,
        };
        let mut grid = call.shape(g.keys, per_block, g.key_heads, threads, shared + staged_sums);
        if !matches!(call.form, Form::Simple) {
            let (tiles, heads, batch) = grid.grid_dim;
            grid.grid_dim = (tiles * heads, batch, 1);
        }
        let lists = uploaded.walk(cols, device);
        let name = call.name("keys")?;
        launch!(
            module,
            device,
            &name,
            grid,
            q,
            k,
            v,
            dout,
            sums.address,
            dk.address,
            dv.address,
            lists,
            g
        );
    }
    let grid = call.shape(g.queries, per_block, g.heads, threads, shared);
    let lists = uploaded.walk(rows, device);
    launch!(
        module,
        device,
        &call.name("queries")?,
        grid,
        q,
        k,
        v,
        dout,
        sums.address,
        dq.address,
        lists,
        g
    );
    Ok((dq.into_tensor(), dk.into_tensor(), dv.into_tensor()))
}

/// `(lse, <out, dout> - dlse)` of every query, `[B, H, T, 2]`.
fn summaries(
    call: &Call,
    device: &CudaDevice,
    out: &Tensor,
    dout: &Tensor,
    lse: &Tensor,
    dlse: Option<&Tensor>,
) -> Result<Output> {
    let g = call.geometry;
    let sums = Output::new(
        device,
        (call.batch, g.heads as usize, g.queries as usize, 2),
        DType::F32,
    )?;
    let name = format!("attention_summary_{}", suffix(call.dtype)?);
    let tiles = (g.queries as usize).div_ceil(TILE);
    let grid = shape((tiles * g.heads as usize, call.batch, 1), (THREADS, 1), 0);
    let (out, dout) = (contiguous(out, call.dtype)?, contiguous(dout, call.dtype)?);
    launch!(
        BACKWARD,
        device,
        &name,
        grid,
        out,
        dout,
        contiguous(lse, DType::F32)?,
        dlse.map_or(Ok(0), |dlse| contiguous(dlse, DType::F32))?,
        sums.address,
        g
    );
    Ok(sums)
}
