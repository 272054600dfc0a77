//! The gradient of an embedding table.

use super::launch::{Module, blocks, launch, module, shape};
use super::operand::{Output, contiguous, device, suffix};
use candle_core::cuda_backend::CudaDevice;
use candle_core::{DType, Result, Tensor, bail};

const EMBEDDING: Module = module!("embedding");
// As in `cu/embedding.cu`.
const BITS: u32 = 9;
const SORTERS: usize = 1 << BITS;
const TILE: usize = 1024;
const CHUNK: usize = 64;
const SLICES: usize = 8;

/// For each of `vocab` rows the sum in f32, in a fixed order, of the rows of `dy: [N, d]` whose id (`ids: [N]` u32) it
/// is, rounded to `dtype`: f32 or the dtype of `dy`. Ids of `vocab` and above are left out.
pub(crate) fn backward(ids: &Tensor, dy: &Tensor, vocab: usize, dtype: DType) -> Result<Tensor> {
    let (ids, dy) = (ids.contiguous()?, dy.contiguous()?);
    let (count, width) = dy.dims2()?;
    if ids.dims() != [count] || (dtype != DType::F32 && dtype != dy.dtype()) {
        bail!("embedding: ids {ids:?} and gradient {dy:?} to {dtype:?}");
    }
    if count * width * vocab == 0 {
        return Tensor::zeros((vocab, width), dtype, dy.device());
    }
    let device = device(&dy)?;
    let used = Tensor::zeros(vocab, DType::U32, dy.device())?;
    let used_at = contiguous(&used, DType::U32)?;
    let sorted = sort(device, contiguous(&ids, DType::U32)?, used_at, count, vocab)?;

    let out = Output::new(device, (vocab, width), dtype)?;
    let chunks = count.div_ceil(CHUNK);
    let partial = Output::new(device, (2 * chunks, width), DType::F32)?;
    let dy_at = contiguous(&dy, dy.dtype())?;
    let step = if width.is_multiple_of(8) && dy_at.is_multiple_of(16) {
        8
    } else {
        1
    };
    let (from, to) = (suffix(dy.dtype())?, suffix(dtype)?);
    launch!(
        EMBEDDING,
        device,
        &format!("embedding_sums_{from}_{to}_{step}"),
        shape((chunks, width.div_ceil(CHUNK * step), 1), (CHUNK, 1), 0),
        sorted.rows.address,
        sorted.positions.address,
        dy_at,
        out.address,
        partial.address,
        count as i32,
        width as i32,
        vocab as u32,
    );
    launch!(
        EMBEDDING,
        device,
        &format!("embedding_spans_{to}_{step}"),
        shape((chunks, width.div_ceil(32 * step), 1), (32, SLICES), 0),
        sorted.rows.address,
        partial.address,
        out.address,
        count as i32,
        width as i32,
        vocab as u32,
    );
    launch!(
        EMBEDDING,
        device,
        &format!("embedding_zeros_{to}_{step}"),
        shape((blocks(vocab, SLICES), 1, 1), (32, SLICES), 0),
        used_at,
        out.address,
        width as i32,
        vocab as i32,
    );
    Ok(out.into_tensor())
}

/// Ids in ascending order, `vocab` for those outside the table, and where they were.
struct Sorted {
    rows: Output,
    positions: Output,
}

/// Sorts by [`BITS`] bits at a time, the lowest first, and sets `used` to 1 for the rows that occur.
fn sort(device: &CudaDevice, ids: u64, used: u64, count: usize, vocab: usize) -> Result<Sorted> {
    let tiles = count.div_ceil(TILE);
    let counts = Output::new(device, (tiles, SORTERS), DType::U32)?;
    let pass = |shift: u32, from: Option<&Sorted>| -> Result<Sorted> {
        let to = Sorted {
            rows: Output::new(device, count, DType::U32)?,
            positions: Output::new(device, count, DType::U32)?,
        };
        let rows = from.map_or(ids, |from| from.rows.address);
        launch!(
            EMBEDDING,
            device,
            "embedding_count",
            shape((tiles, 1, 1), (SORTERS, 1), 0),
            rows,
            counts.address,
            if from.is_none() { used } else { 0 },
            count as i32,
            vocab as u32,
            shift as i32,
        );
        launch!(
            EMBEDDING,
            device,
            "embedding_sort",
            shape((tiles, 1, 1), (SORTERS, 1), 0),
            rows,
            from.map_or(0, |from| from.positions.address),
            counts.address,
            to.rows.address,
            to.positions.address,
            count as i32,
            vocab as u32,
            shift as i32,
        );
        Ok(to)
    };
    let mut sorted = pass(0, None)?;
    let bits = vocab.ilog2() + 1;
    for shift in (BITS..bits).step_by(BITS as usize) {
        sorted = pass(shift, Some(&sorted))?;
    }
    Ok(sorted)
}
