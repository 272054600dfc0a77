//! Weights as they lie in a file: laid one behind the other, or with their rows in another order.

use std::borrow::Cow;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};
use drdiff_kernels::Loaded;

use super::Result;

fn told(error: candle_core::Error) -> String {
    format!("the tensor library refuses it ({error})")
}

/// The rows of several weights, one weight behind the other. Weights of one format keep it; quantised ones of several are
/// stored as `Q8_0`, which holds each of them to within its own rounding.
pub(super) fn stack(parts: Vec<Loaded>) -> Result<Loaded> {
    match parts.len() {
        1 => parts
            .into_iter()
            .next()
            .ok_or_else(|| "there is nothing to stack".to_owned()),
        _ => stacked(&parts).map_err(told),
    }
}

fn stacked(parts: &[Loaded]) -> candle_core::Result<Loaded> {
    let kinds: Vec<Option<GgmlDType>> = parts.iter().map(kind).collect();
    if let [Some(first), ..] = kinds[..]
        && kinds.iter().all(|kind| *kind == Some(first))
    {
        let mut bytes = Vec::new();
        let (mut outputs, mut inputs) = (0, 0);
        for part in parts {
            if let Loaded::Quantized(tensor) = part {
                let (rows, width) = tensor.shape().dims2()?;
                (outputs, inputs) = (outputs + rows, width);
                bytes.extend_from_slice(&tensor.data()?);
            }
        }
        return quantized(&bytes, first, (outputs, inputs));
    }
    let dense = parts.iter().map(numbers).collect::<candle_core::Result<Vec<_>>>()?;
    let all = Tensor::cat(&dense, 0)?;
    let width = all.dims().last().copied().unwrap_or_default();
    match kinds.iter().any(Option::is_some) && width.is_multiple_of(GgmlDType::Q8_0.block_size()) {
        true => Ok(Loaded::Quantized(QTensor::quantize(
            &all.to_dtype(DType::F32)?,
            GgmlDType::Q8_0,
        )?)),
        false => Ok(Loaded::Dense(all)),
    }
}

/// The rows of a weight in another order: row `i` of the result is row `order(i)` of the weight.
pub(super) fn reorder(weight: &Loaded, order: impl Fn(usize) -> usize) -> Result<Loaded> {
    reordered(weight, order).map_err(told)
}

fn reordered(weight: &Loaded, order: impl Fn(usize) -> usize) -> candle_core::Result<Loaded> {
    match weight {
        Loaded::Dense(tensor) => {
            let ids: Vec<u32> = (0..tensor.dim(0)?).map(|row| order(row) as u32).collect();
            let ids = Tensor::from_slice(&ids, ids.len(), tensor.device())?;
            Ok(Loaded::Dense(tensor.index_select(&ids, 0)?))
        }
        Loaded::Quantized(tensor) => {
            let (outputs, inputs) = tensor.shape().dims2()?;
            let data = tensor.data()?;
            let row = data.len() / outputs.max(1);
            let bytes: Vec<u8> = (0..outputs)
                .flat_map(|output| &data[order(output) * row..][..row])
                .copied()
                .collect();
            quantized(&bytes, tensor.dtype(), (outputs, inputs))
        }
    }
}

/// The numbers of a weight in f32.
pub(super) fn in_f32(weight: &Loaded) -> Result<Loaded> {
    let single = numbers(weight).and_then(|tensor| tensor.to_dtype(DType::F32));
    single.map(Loaded::Dense).map_err(told)
}

/// A weight with 1 added to each number, in f32.
pub(super) fn plus_one(weight: &Loaded) -> Result<Loaded> {
    let more = numbers(weight).and_then(|tensor| tensor.to_dtype(DType::F32)?.affine(1.0, 1.0));
    more.map(Loaded::Dense).map_err(told)
}

fn quantized(bytes: &[u8], kind: GgmlDType, shape: (usize, usize)) -> candle_core::Result<Loaded> {
    let storage = QStorage::from_data(Cow::Borrowed(bytes), &Device::Cpu, kind)?;
    Ok(Loaded::Quantized(QTensor::new(storage, shape)?))
}

fn kind(weight: &Loaded) -> Option<GgmlDType> {
    match weight {
        Loaded::Dense(_) => None,
        Loaded::Quantized(tensor) => Some(tensor.dtype()),
    }
}

fn numbers(weight: &Loaded) -> candle_core::Result<Tensor> {
    match weight {
        Loaded::Dense(tensor) => Ok(tensor.clone()),
        Loaded::Quantized(tensor) => tensor.dequantize(&Device::Cpu),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: usize, from: f32) -> Tensor {
        let numbers: Vec<f32> = (0..rows * 32).map(|i| (from + i as f32).sin()).collect();
        Tensor::from_vec(numbers, (rows, 32), &Device::Cpu).unwrap()
    }

    fn values(weight: &Loaded) -> Vec<f32> {
        numbers(weight).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn blocks_of_one_format_are_moved_bit_for_bit() {
        let quantise = |tensor: &Tensor, kind| Loaded::Quantized(QTensor::quantize(tensor, kind).unwrap());
        for format in [GgmlDType::Q8_0, GgmlDType::Q4_1, GgmlDType::Q5_0] {
            let parts = [matrix(3, 0.0), matrix(2, 9.0)].map(|tensor| quantise(&tensor, format));
            let apart: Vec<f32> = parts.iter().flat_map(values).collect();
            let all = stack(parts.into()).unwrap();
            assert_eq!(kind(&all), Some(format));
            assert_eq!(values(&all), apart);
            let turned = values(&reorder(&all, |row| 4 - row).unwrap());
            let wanted: Vec<f32> = apart.chunks(32).rev().flatten().copied().collect();
            assert_eq!(turned, wanted);
        }
    }

    #[test]
    fn formats_that_differ_become_8_bits() {
        let parts = [GgmlDType::Q4_1, GgmlDType::Q5_0]
            .map(|format| Loaded::Quantized(QTensor::quantize(&matrix(2, 1.0), format).unwrap()));
        let apart: Vec<f32> = parts.iter().flat_map(values).collect();
        let all = stack(parts.into()).unwrap();
        assert_eq!(kind(&all), Some(GgmlDType::Q8_0));
        let far = apart
            .iter()
            .zip(values(&all))
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(far < 0.5 / 127.0 + 1e-3, "{far}");
        let dense = stack(vec![Loaded::Dense(matrix(1, 0.0)), Loaded::Dense(matrix(2, 0.0))]).unwrap();
        assert_eq!((kind(&dense), values(&dense).len()), (None, 96));
    }
}
