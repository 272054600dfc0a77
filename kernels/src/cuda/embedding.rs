//! The gradient of an embedding table.

use super::launch::{Module, blocks, launch, module, shape};
use super::operand::{Output, contiguous, device, suffix};
use candle_core::{DType, Result, Tensor};

const EMBEDDING: Module = module!("embedding");
/// Threads of a block, and the columns that it sums (as in `cu/embedding.cu`).
const BLOCK: usize = 256;

/// For each of `vocab` rows the sum of the rows of `dy: [N, d]` whose id (`ids: [N]` u32) it is, in order: f32.
pub(crate) fn backward(ids: &Tensor, dy: &Tensor, vocab: usize) -> Result<Tensor> {
    let (ids, dy) = (ids.contiguous()?, dy.contiguous()?);
    let (count, width) = dy.dims2()?;
    let device = device(&dy)?;
    if count * width * vocab == 0 {
        return Tensor::zeros((vocab, width), DType::F32, dy.device());
    }
    let counts = Tensor::zeros(vocab, DType::U32, dy.device())?;
    let (ids_at, counts_at) = (contiguous(&ids, DType::U32)?, contiguous(&counts, DType::U32)?);
    let grid = shape((blocks(count, BLOCK), 1, 1), (BLOCK, 1), 0);
    launch!(
        EMBEDDING,
        device,
        "embedding_count",
        grid,
        ids_at,
        counts_at,
        count as i32,
        vocab as i32
    );
    let out = Output::new(device, (vocab, width), DType::F32)?;
    let name = format!("embedding_backward_{}", suffix(dy.dtype())?);
    let grid = shape((vocab, width.div_ceil(BLOCK), 1), (BLOCK, 1), 0);
    let dy_at = contiguous(&dy, dy.dtype())?;
    launch!(
        EMBEDDING,
        device,
        &name,
        grid,
        ids_at,
        counts_at,
        dy_at,
        out.address,
        count as i32,
        width as i32
    );
    Ok(out.into_tensor())
}
