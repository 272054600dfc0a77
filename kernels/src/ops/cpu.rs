//! Rows of CPU tensors as slices, whatever the strides.

use candle_core::{CpuStorage, Layout, Result, Storage, StorageRef, Tensor, bail};
use std::borrow::Cow;

/// The last dimension of a tensor as rows of neighbouring numbers.
pub(super) struct Rows<'a> {
    data: Cow<'a, [f32]>,
    width: usize,
    dims: Vec<usize>,
    strides: Vec<usize>,
    start: usize,
}

impl<'a> Rows<'a> {
    /// Views a tensor of rank 1 or more; copies only if the last dimension is not contiguous.
    pub(super) fn new(op: &str, storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let CpuStorage::F32(data) = storage else {
            bail!("{op} on the CPU takes f32, not {:?}", storage_dtype(storage))
        };
        let Some((&width, dims)) = layout.dims().split_last() else {
            bail!("{op} needs at least one dimension")
        };
        let stride = layout.stride();
        if stride[dims.len()] == 1 || width == 1 {
            return Ok(Self {
                data: Cow::Borrowed(data),
                width,
                dims: dims.to_vec(),
                strides: stride[..dims.len()].to_vec(),
                start: layout.start_offset(),
            });
        }
        let apart = Self {
            data: Cow::Borrowed(data),
            width: 1,
            dims: layout.dims().to_vec(),
            strides: stride.to_vec(),
            start: layout.start_offset(),
        };
        let copy: Vec<f32> = (0..apart.count()).map(|index| apart.row(index)[0]).collect();
        let mut strides = vec![width; dims.len()];
        for dim in (1..dims.len()).rev() {
            strides[dim - 1] = strides[dim] * dims[dim];
        }
        Ok(Self {
            data: Cow::Owned(copy),
            width,
            dims: dims.to_vec(),
            strides,
            start: 0,
        })
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn count(&self) -> usize {
        self.dims.iter().product()
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        let mut rest = row;
        let mut offset = self.start;
        for (&dim, &stride) in self.dims.iter().zip(&self.strides).rev() {
            offset += rest % dim * stride;
            rest /= dim;
        }
        &self.data[offset..offset + self.width]
    }

    /// From row `row` on to the end of the data, and how far apart rows of dimension `dim` are.
    pub(super) fn tail_at(&self, row: usize, dim: usize) -> (&[f32], usize) {
        if self.count() == 0 {
            return (&[], self.width);
        }
        let start = self.row(row).as_ptr() as usize - self.data.as_ptr() as usize;
        (&self.data[start / size_of::<f32>()..], self.strides[dim])
    }
}

fn storage_dtype(storage: &CpuStorage) -> candle_core::DType {
    candle_core::backend::BackendStorage::dtype(storage)
}

/// A CPU tensor, locked for reading.
pub(crate) struct Operand<'a> {
    op: &'static str,
    storage: StorageRef<'a>,
    layout: &'a Layout,
}

impl<'a> Operand<'a> {
    pub(crate) fn new(op: &'static str, tensor: &'a Tensor) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        Self { op, storage, layout }
    }

    /// Its rows, whatever the strides.
    pub(super) fn rows(&self) -> Result<Rows<'_>> {
        match &*self.storage {
            Storage::Cpu(storage) => Rows::new(self.op, storage, self.layout),
            _ => bail!("{}: tensors on different devices", self.op),
        }
    }

    /// Its numbers in order; the tensor must be contiguous.
    pub(crate) fn slice(&self) -> Result<&[f32]> {
        match (&*self.storage, self.layout.contiguous_offsets()) {
            (Storage::Cpu(CpuStorage::F32(data)), Some((start, end))) => Ok(&data[start..end]),
            _ => bail!("{} takes contiguous f32 tensors on the CPU", self.op),
        }
    }

    /// The same of u32.
    pub(super) fn indices(&self) -> Result<&[u32]> {
        match (&*self.storage, self.layout.contiguous_offsets()) {
            (Storage::Cpu(CpuStorage::U32(data)), Some((start, end))) => Ok(&data[start..end]),
            _ => bail!("{} takes contiguous u32 tensors on the CPU", self.op),
        }
    }
}

/// Rows whose contributions to a shared gradient are summed by one task; fixed, so that threads cannot change a sum.
pub(super) const GROUP: usize = 64;

/// The sum of equally long rows, in order.
pub(super) fn sum_rows(rows: &[Vec<f32>]) -> Vec<f32> {
    let mut sum = vec![0.0f64; rows.first().map_or(0, Vec::len)];
    for row in rows {
        for (sum, &x) in sum.iter_mut().zip(row) {
            *sum += f64::from(x);
        }
    }
    sum.into_iter().map(|x| x as f32).collect()
}
