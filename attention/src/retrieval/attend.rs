//! Attention to the chosen chunks, each on its own, and their sum.
//!
//! `out = sum_k w_k softmax(scale q K_k^T) V_k` with `w = softmax(s_1, .., s_K, null)`, where `s_k` is the score of a
//! row's own query against the landmark of its k-th chunk (arXiv 2511.23319, section 3; the null slot takes weight and
//! gives nothing, so that a row may ignore what its unit found). The weights are the only way by which the choice learns.

use candle_core::{D, DType, Tensor};
use drdiff_kernels::{Result as KernelResult, Value, embedding};

use super::{CHUNK, Chunks, Lists};
use crate::Result;

/// What the rows of a pass bring.
#[derive(Debug, Clone, Copy)]
pub struct Queries<'a> {
    /// Queries of attention, `[rows, H * D]`.
    pub attention: &'a Value,
    /// Queries for landmarks, `[rows, R]`.
    pub landmark: &'a Value,
    /// The score of the null slot, `[1]`.
    pub null: &'a Value,
}

/// Attention of the rows to the chunks that `lists` name for them: `[rows, H * D]`; zeros for rows without a chunk.
/// Scores against landmarks are divided by `sqrt(R)`, those of attention by `sqrt(D)`.
///
/// # Errors
/// If the shapes do not fit.
pub fn attend(queries: Queries<'_>, chunks: &Chunks, lists: &Lists) -> Result<Value> {
    let (positions, groups, head_dim) = chunks.keys.tensor().dims3()?;
    let width = queries.attention.tensor().dim(1)?;
    if lists.is_empty() {
        return Ok(Value::constant(&queries.attention.tensor().zeros_like()?));
    }
    let packed = lists.source.elem_count();
    let q = queries.attention.rows(&lists.source)?;
    let q = q.reshape((1, packed, width / head_dim, head_dim))?;
    let chosen = |values: &Value| {
        let each = (positions / CHUNK, CHUNK * groups * head_dim);
        let read = (1, lists.chosen.elem_count() * CHUNK, groups, head_dim);
        values.reshape(each)?.rows(&lists.chosen)?.reshape(read)
    };
    let (k, v) = (chosen(&chunks.keys)?, chosen(&chunks.values)?);
    let (each, _) = q.tile_attention(&k, &v, &lists.plan, (head_dim as f64).powf(-0.5))?;
    let scores = scores(queries.landmark, &chunks.landmarks, lists)?;
    combine(&each.reshape((packed, width))?, &scores, queries.null, lists)
}

/// The score of each row's own query for the chunks in its slots, `[slots, rows]` f32; negative infinity if empty.
fn scores(queries: &Value, landmarks: &Value, lists: &Lists) -> Result<Value> {
    let width = queries.tensor().dim(1)?;
    let scale = (width as f64).powf(-0.5);
    let shape = (lists.slots, lists.rows, width);
    let read = landmarks.rows(&lists.chunk)?;
    let r = queries.tensor().to_dtype(DType::F32)?.unsqueeze(0)?;
    let l = read.tensor().to_dtype(DType::F32)?.reshape(shape)?;
    let products = r.broadcast_mul(&l)?.sum(D::Minus1)?.affine(scale, 0.0)?;
    let dtypes = [queries.tensor().dtype(), read.tensor().dtype()];
    let flat = read.tensor().shape().clone();
    let [scores] = Value::record(&[queries, &read], [(products + &lists.mask)?], move |[ds]| {
        let Some(ds) = ds else { return Ok(Vec::new()) };
        let ds = ds.unsqueeze(D::Minus1)?.affine(scale, 0.0)?;
        let dr = l.broadcast_mul(&ds)?.sum(0)?.to_dtype(dtypes[0])?;
        let dl = r.broadcast_mul(&ds)?.reshape(flat)?.to_dtype(dtypes[1])?;
        Ok(vec![Some(dr), Some(dl)])
    });
    Ok(scores)
}

/// The results of single chunks, `each: [packed, width]`, summed with the softmax of scores and null: `[rows, width]`.
///
/// Backward, with `dw_k = <each_k, dout>`: `deach_k = w_k dout` and `ds_k = w_k (dw_k - sum_m w_m dw_m)`, the null slot
/// among them with `dw = 0`.
fn combine(each: &Value, scores: &Value, null: &Value, lists: &Lists) -> Result<Value> {
    let (slots, rows) = (lists.slots, lists.rows);
    let weights = weights(scores.tensor(), null.tensor())?;
    let table = each.tensor().clone();
    let place = lists.place.reshape((slots, rows))?;
    let mut sum = Tensor::zeros((rows, table.dim(1)?), DType::F32, table.device())?;
    for slot in 0..slots {
        let read = embedding(&place.get(slot)?, &table)?.to_dtype(DType::F32)?;
        sum = (sum + read.broadcast_mul(&weights.get(slot)?.unsqueeze(1)?)?)?;
    }
    let out = sum.to_dtype(table.dtype())?;
    let null_dtype = null.tensor().dtype();
    let (source, pair) = (lists.source.clone(), lists.pair.clone());
    let [out] = Value::record(&[each, scores, null], [out], move |[dout]| {
        let Some(dout) = dout else { return Ok(Vec::new()) };
        let dout = dout.contiguous()?;
        let dweights = slopes(&table, &dout, &place)?;
        let chosen = weights.narrow(0, 0, slots)?;
        let mean = (&chosen * &dweights)?.sum_keepdim(0)?;
        let dscores = chosen.mul(&dweights.broadcast_sub(&mean)?)?;
        let dnull = (weights.narrow(0, slots, 1)? * mean)?.sum_all()?.neg()?;
        // Behind the last pair of a chunk the weight is 0.
        let none = Tensor::zeros(1, DType::F32, chosen.device())?;
        let flat = Tensor::cat(&[chosen.flatten_all()?, none], 0)?;
        let weight = flat.index_select(&pair, 0)?.unsqueeze(1)?;
        let deach = embedding(&source, &dout)?
            .to_dtype(DType::F32)?
            .broadcast_mul(&weight)?;
        Ok(vec![
            Some(deach.to_dtype(table.dtype())?),
            Some(dscores),
            Some(dnull.reshape(1)?.to_dtype(null_dtype)?),
        ])
    });
    Ok(out)
}

/// The softmax over the slots of each row and the null slot, which comes last: `[slots + 1, rows]` f32.
fn weights(scores: &Tensor, null: &Tensor) -> KernelResult<Tensor> {
    let null = null.to_dtype(DType::F32)?.reshape((1, 1))?;
    let scores = Tensor::cat(&[scores, &null.broadcast_as((1, scores.dim(1)?))?], 0)?;
    // The null slot is finite, and so is the peak.
    let powers = scores.broadcast_sub(&scores.max_keepdim(0)?)?.exp()?;
    Ok(powers.broadcast_div(&powers.sum_keepdim(0)?)?)
}

/// The slope of each weight, `<each, dout>` of its slot and row: `[slots, rows]` f32.
fn slopes(each: &Tensor, dout: &Tensor, place: &Tensor) -> KernelResult<Tensor> {
    let dout = dout.to_dtype(DType::F32)?;
    let slots: Vec<Tensor> = (0..place.dim(0)?)
        .map(|slot| {
            let read = embedding(&place.get(slot)?, each)?.to_dtype(DType::F32)?;
            Ok(read.mul(&dout)?.sum(D::Minus1)?)
        })
        .collect::<KernelResult<_>>()?;
    Ok(Tensor::stack(&slots, 0)?)
}
