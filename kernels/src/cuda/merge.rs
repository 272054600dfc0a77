//! Attentions over disjoint keys made one.

use super::launch::{Module, launch, module, shape};
use super::operand::{Output, contiguous, device, suffix};
use crate::ops::Attention;
use candle_core::cuda_backend::cudarc::driver::LaunchConfig;
use candle_core::{DType, Result, Tensor, bail};

const MERGE: Module = module!("merge");
const WARPS: usize = 8;

/// Sizes of a call and the addresses of both parts.
struct Call {
    rows: usize,
    length: usize,
    heads: usize,
    width: usize,
    dtype: DType,
    at: [u64; 4],
}

impl Call {
    /// The parts must be contiguous.
    fn new([a, b]: [&Attention; 2]) -> Result<Self> {
        let (batch, length, heads, width) = a.out.dims4()?;
        let rows = batch * length * heads;
        if rows.div_ceil(WARPS) > i32::MAX as usize {
            bail!("merge: {rows} rows are more than a grid has");
        }
        let dtype = a.out.dtype();
        Ok(Self {
            rows,
            length,
            heads,
            width,
            dtype,
            at: [
                contiguous(&a.out, dtype)?,
                contiguous(&a.lse, DType::F32)?,
                contiguous(&b.out, dtype)?,
                contiguous(&b.lse, DType::F32)?,
            ],
        })
    }

    /// The kernel, given the addresses that it reads eight elements at, and its launch.
    fn kernel(&self, kind: &str, addresses: &[u64]) -> Result<(String, LaunchConfig)> {
        let aligned = addresses.iter().all(|address| address.is_multiple_of(16)) && self.width.is_multiple_of(8);
        let step = if aligned { 8 } else { 1 };
        let name = format!("merge_{kind}_{}_{step}", suffix(self.dtype)?);
        Ok((name, shape((self.rows.div_ceil(WARPS), 1, 1), (32, WARPS), 0)))
    }
}

fn contiguous_part(part: &Attention) -> Result<Attention> {
    Ok(Attention {
        out: part.out.contiguous()?,
        lse: part.lse.contiguous()?,
    })
}

/// See [`crate::ops::merge`].
pub(crate) fn forward([a, b]: [&Attention; 2]) -> Result<Attention> {
    let (a, b) = (contiguous_part(a)?, contiguous_part(b)?);
    let device = device(&a.out)?;
    let out = Output::new(device, a.out.shape().clone(), a.out.dtype())?;
    let lse = Output::new(device, a.lse.shape().clone(), DType::F32)?;
    if a.lse.elem_count() > 0 {
        let call = Call::new([&a, &b])?;
        let [a_at, a_lse, b_at, b_lse] = call.at;
        let (name, grid) = call.kernel("forward", &[a_at, b_at])?;
        launch!(
            MERGE,
            device,
            &name,
            grid,
            a_at,
            a_lse,
            b_at,
            b_lse,
            out.address,
            lse.address,
            call.rows as i64,
            call.length as i32,
            call.heads as i32,
            call.width as i32
        );
    }
    Ok(Attention {
        out: out.into_tensor(),
        lse: lse.into_tensor(),
    })
}

/// The gradients of both parts' outputs and log-sum-exps.
pub(crate) fn backward([a, b]: [&Attention; 2], dout: &Tensor, dlse: Option<&Tensor>) -> Result<[Attention; 2]> {
    let (a, b) = (contiguous_part(a)?, contiguous_part(b)?);
    let (dout, dlse) = (dout.contiguous()?, dlse.map(Tensor::contiguous).transpose()?);
    let device = device(&a.out)?;
    let gradient = |of: &Attention| -> Result<[Output; 2]> {
        Ok([
            Output::new(device, of.out.shape().clone(), of.out.dtype())?,
            Output::new(device, of.lse.shape().clone(), DType::F32)?,
        ])
    };
    let (da, db) = (gradient(&a)?, gradient(&b)?);
    if a.lse.elem_count() > 0 {
        let call = Call::new([&a, &b])?;
        let [a_at, a_lse, b_at, b_lse] = call.at;
        let dout_at = contiguous(&dout, call.dtype)?;
        let dlse_at = dlse.as_ref().map_or(Ok(0), |dlse| contiguous(dlse, DType::F32))?;
        let (name, grid) = call.kernel("backward", &[a_at, b_at, dout_at])?;
        launch!(
            MERGE,
            device,
            &name,
            grid,
            a_at,
            a_lse,
            b_at,
            b_lse,
            dout_at,
            dlse_at,
            da[0].address,
            da[1].address,
            db[0].address,
            db[1].address,
            call.rows as i64,
            call.length as i32,
            call.heads as i32,
            call.width as i32
        );
    }
    Ok([da, db].map(|gradient| {
        let [out, lse] = gradient.map(Output::into_tensor);
        Attention { out, lse }
    }))
}
