//! Means of keys or values over the nodes of a level, in f32.

use candle_core::{DType, Result, Tensor};
use drdiff_kernels::Value;

use super::rule::Seats;

/// Means over `count` groups of `size` rows each, from row `first` on: `[B, T, G, D]` to `[B, count, G, D]` f32.
pub(crate) fn means(x: &Tensor, first: usize, (count, size): (usize, usize)) -> Result<Tensor> {
    let (batch, _, groups, width) = x.dims4()?;
    let rows = x.narrow(1, first, count * size)?.to_dtype(DType::F32)?;
    let rows = rows.contiguous()?.reshape((batch * count, size, groups * width))?;
    let shares = Tensor::full(1.0 / size as f32, (batch * count, 1, size), x.device())?;
    shares.matmul(&rows)?.reshape((batch, count, groups, width))
}

/// [`means`] with their gradient.
pub(super) fn averaged(x: &Value, first: usize, (count, size): (usize, usize)) -> crate::Result<Value> {
    let (batch, len, groups, width) = x.tensor().dims4()?;
    let dtype = x.tensor().dtype();
    let out = means(x.tensor(), first, (count, size))?;
    let [out] = Value::record(&[x], [out], move |[upstream]| {
        let Some(upstream) = upstream else {
            return Ok(Vec::new());
        };
        let each = (upstream / size as f64)?.to_dtype(dtype)?.unsqueeze(2)?;
        let all = each.broadcast_as((batch, count, size, groups, width))?;
        let all = all.reshape((batch, count * size, groups, width))?;
        let behind = len - first - count * size;
        Ok(vec![Some(all.pad_with_zeros(1, first, behind)?)])
    });
    Ok(out)
}

/// Nodes of a level, `[B, n, G, D]` f32, in their seats, zeros where none is, as the kernel reads them: `[B, S, G, D]` of
/// `dtype`. Families all have room.
pub(super) fn seated(nodes: &Value, seats: Seats, dtype: DType) -> crate::Result<Value> {
    let (batch, count, groups, width) = nodes.tensor().dims4()?;
    let (siblings, families) = (seats.siblings, seats.families);
    Ok(nodes.through(|nodes| {
        let all = nodes.pad_with_zeros(1, 0, families * siblings - count)?;
        let all = all.reshape((batch, families, siblings, groups * width))?;
        let all = all.pad_with_zeros(2, 0, seats.room() - siblings)?;
        Ok(all.reshape((batch, seats.count(), groups, width))?.to_dtype(dtype)?)
    })?)
}
