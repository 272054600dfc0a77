//! The columns that score highest in any of a unit's rows.

use super::launch::{Module, launch, module, shape};
use super::operand::{Input, Output, contiguous, device};
use candle_core::{DType, Result, Tensor, bail};

const STRONGEST: Module = module!("strongest");
// As in `cu/strongest.cu`.
const WARPS: usize = 8;
const PART: usize = 256;
const MERGERS: usize = 128;
const MOST: usize = i32::MAX as usize;

/// See [`crate::strongest`]; shapes and types fit, and nothing is empty.
pub(crate) fn forward(scores: &Tensor, candidates: &Tensor, slots: usize) -> Result<Tensor> {
    let device = device(scores)?;
    let (units, widest, columns) = scores.dims3()?;
    let parts = columns.div_ceil(PART);
    let keep = slots.min(PART);
    let blocks = (units * parts).div_ceil(WARPS);
    if blocks > MOST || parts * PART > MOST || widest > MOST || slots > MOST {
        bail!("strongest: {slots} of {columns} columns for {units} units are more than a grid has");
    }
    let input = Input::of(scores)?;
    // Ranks have 64 bits.
    let kept = Output::new(device, (units * parts, 2 * keep), DType::U32)?;
    let step = if input.by_eight(&[columns]) { 8 } else { 1 };
    launch!(
        STRONGEST,
        device,
        &format!("strongest_keep_{step}"),
        shape((blocks, 1, 1), (32, WARPS), 0),
        contiguous(scores, DType::F32)?,
        contiguous(candidates, DType::U32)?,
        kept.address,
        units as i64,
        widest as i32,
        columns as i32,
        parts as i32,
        keep as i32,
    );
    let out = Output::new(device, (units, slots), DType::U32)?;
    launch!(
        STRONGEST,
        device,
        "strongest_merge",
        shape((units, 1, 1), (MERGERS, 1), slots * size_of::<u32>()),
        kept.address,
        out.address,
        (parts * keep) as i32,
        slots as i32,
    );
    Ok(out.into_tensor())
}
