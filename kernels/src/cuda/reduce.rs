//! Sums over rows in a fixed order.

use super::launch::{Module, launch, module, shape};
use super::operand::{Output, contiguous, device, suffix};
use candle_core::{DType, Result, Tensor};

const REDUCE: Module = module!("reduce");

/// Rows that one block sums; above twice this the sum goes in two stages.
const CHUNK: usize = 256;

/// The sum over the rows of a contiguous `[R, C]` f32 or bf16 tensor: `[C]` f32.
pub(crate) fn column_sums(x: &Tensor) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    if rows == 0 || width == 0 {
        return Tensor::zeros(width, DType::F32, x.device());
    }
    let chunks = if rows > 2 * CHUNK {
        rows.div_ceil(CHUNK).min(64)
    } else {
        1
    };
    let out = Output::new(device(x)?, (chunks, width), DType::F32)?;
    let name = format!("column_sums_{}", suffix(x.dtype())?);
    let grid = shape((width.div_ceil(32), chunks, 1), (32, 8), 0);
    launch!(
        REDUCE,
        device(x)?,
        &name,
        grid,
        contiguous(x, x.dtype())?,
        out.address,
        rows as i32,
        width as i32
    );
    let sums = out.into_tensor();
    if chunks == 1 {
        sums.reshape(width)
    } else {
        column_sums(&sums)
    }
}
