//! Tokens drawn where the hidden rows are: no distribution travels to the host.

use super::mixture::{join, probabilities};
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};

const NAME: &str = "categorical";
/// Rows whose probabilities exist at one time.
const CHUNK: usize = 2048;
/// Tokens of a group: a draw first finds its group, then its token in there, so that running sums stay short.
const GROUP: usize = 64;

/// One token of `softmax(h table^T + bias)` for each row, `[N]` u32, by inversion of the cumulated probabilities, which are
/// summed in f64 (32-bit sampling draws from a sharper distribution: Zheng et al., arXiv 2409.02908).
///
/// `h: [N, d]`, `table: [V, d]`, `bias: [V]` f32, `u: [N]` f64 uniform draws in `[0, 1)`. A token of probability 0 is never
/// drawn but for the last rounding of `u` times the sum.
///
/// # Errors
/// If shapes or dtypes do not fit.
pub fn categorical(h: &Tensor, table: &Tensor, bias: &Tensor, u: &Tensor) -> Result<Tensor> {
    let [h, table, bias] = [h, table, bias].map(Tensor::detach);
    let ((rows, width), (vocab, table_width)) = (h.dims2()?, table.dims2()?);
    let fits = width == table_width && bias.dims() == [vocab] && u.dims() == [rows] && u.dtype() == DType::F64;
    if !fits || vocab == 0 {
        let (h, table, bias) = (h.dims(), table.dims(), bias.dims());
        let problem = format!(
            "h {h:?}, table {table:?}, bias {bias:?}, u {:?} {:?}",
            u.dims(),
            u.dtype()
        );
        return Err(Error::shape(NAME, problem));
    }
    let table = table.to_dtype(h.dtype())?;
    let groups = vocab.div_ceil(GROUP);
    let sums = [running(groups, h.device())?, running(GROUP, h.device())?];
    let mut tokens = Vec::new();
    for start in (0..rows).step_by(CHUNK) {
        let count = CHUNK.min(rows - start);
        let h = h.narrow(0, start, count)?.contiguous()?;
        let p = probabilities(h.matmul(&table.t()?)?.to_dtype(DType::F32)?, &bias)?;
        tokens.push(invert(&p, &u.narrow(0, start, count)?, &sums)?);
    }
    join(&tokens, 0, DType::U32, h.device())
}

/// The token at which the running sum of each row of `p`, `[C, V]`, passes the share `u` of its total. `sums` make running sums
/// over groups and inside of one.
fn invert(p: &Tensor, u: &Tensor, [over_groups, inside_group]: &[Tensor; 2]) -> Result<Tensor> {
    let (rows, vocab) = p.dims2()?;
    let groups = vocab.div_ceil(GROUP);
    let p = p.to_dtype(DType::F64)?.pad_with_zeros(1, 0, groups * GROUP - vocab)?;
    let p = p.reshape((rows, groups, GROUP))?;
    let ends = p.sum(2)?.matmul(over_groups)?;
    let goal = (ends.narrow(1, groups - 1, 1)? * u.unsqueeze(1)?)?;
    let group = passed(&ends, &goal)?;
    // Sums before each group, so that the first one has something to look up, too.
    let starts = ends.pad_with_zeros(1, 1, 0)?;
    let rest = (goal - starts.gather(&group, 1)?)?;
    let first = Tensor::arange_step(0, (rows * groups) as u32, groups as u32, p.device())?;
    let inside = p
        .reshape((rows * groups, GROUP))?
        .index_select(&(first + group.squeeze(1)?)?, 0)?;
    let token = passed(&inside.matmul(inside_group)?, &rest)?.squeeze(1)?;
    let token = (group.squeeze(1)?.affine(GROUP as f64, 0.0)? + token)?;
    Ok(token.minimum((vocab - 1) as u32)?)
}

/// How many running sums of each row do not exceed its goal, at most all but one: `[C, 1]` u32.
fn passed(sums: &Tensor, goal: &Tensor) -> Result<Tensor> {
    let count = sums.broadcast_le(goal)?.to_dtype(DType::U32)?.sum_keepdim(1)?;
    let last = (sums.dim(1)? - 1) as u32;
    Ok(count.minimum(last)?)
}

/// The matrix whose product from the right makes running sums.
fn running(n: usize, device: &Device) -> Result<Tensor> {
    let ones: Vec<f64> = (0..n * n).map(|at| f64::from(u8::from(at / n <= at % n))).collect();
    Ok(Tensor::from_vec(ones, (n, n), device)?)
}
