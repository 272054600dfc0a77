//! Tensors as kernels see them: an address and strides.

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::cuda_backend::cudarc::driver::DevicePtr;
use candle_core::cuda_backend::{CudaDevice, CudaStorage, CudaStorageSlice};
use candle_core::op::BackpropOp;
use candle_core::{DType, Layout, Result, Shape, Storage, Tensor, bail};

/// The address of the first element of a view.
fn address(storage: &CudaStorage, layout: &Layout) -> Result<u64> {
    let stream = storage.device.cuda_stream();
    let base = match &storage.slice {
        CudaStorageSlice::F32(data) => data.device_ptr(&stream).0,
        CudaStorageSlice::BF16(data) => data.device_ptr(&stream).0,
        CudaStorageSlice::U32(data) => data.device_ptr(&stream).0,
        _ => bail!("the CUDA operations take f32, bf16 and u32, not {:?}", storage.dtype()),
    };
    Ok(base + (layout.start_offset() * storage.dtype().size_in_bytes()) as u64)
}

/// The GPU of a tensor.
pub(super) fn device(tensor: &Tensor) -> Result<&CudaDevice> {
    tensor.device().as_cuda_device()
}

/// The address of a contiguous tensor. The tensor must outlive the launch that uses it.
pub(super) fn contiguous(tensor: &Tensor, dtype: DType) -> Result<u64> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cuda(storage) if layout.is_contiguous() && tensor.dtype() == dtype => address(storage, layout),
        _ => bail!("expected a contiguous {dtype:?} tensor on the GPU, got {tensor:?}"),
    }
}

/// What kernels are called for an element type.
pub(super) fn suffix(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F32 => Ok("f32"),
        DType::BF16 => Ok("bf16"),
        other => bail!("the CUDA operations take f32 and bf16, not {other:?}"),
    }
}

/// An input that may be a view, or a copy of it.
pub(super) struct Input {
    pub(super) address: u64,
    pub(super) layout: Layout,
    pub(super) dtype: DType,
    /// Keeps a copy alive.
    _copy: Option<CudaStorage>,
}

impl Input {
    pub(super) fn new(storage: &CudaStorage, layout: &Layout) -> Result<Self> {
        Ok(Self {
            address: address(storage, layout)?,
            layout: layout.clone(),
            dtype: storage.dtype(),
            _copy: None,
        })
    }

    pub(super) fn of(tensor: &Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => Self::new(storage, layout),
            _ => bail!("expected a tensor on the GPU, got {tensor:?}"),
        }
    }

    /// The view itself if `fits`, else a contiguous copy.
    pub(super) fn fitting(storage: &CudaStorage, layout: &Layout, fits: impl Fn(&Self) -> bool) -> Result<Self> {
        let view = Self::new(storage, layout)?;
        if fits(&view) {
            return Ok(view);
        }
        // SAFETY: the copy fills every element.
        let mut copy = unsafe { storage.device.alloc_uninit(layout.shape(), storage.dtype())? };
        storage.copy_strided_src(&mut copy, 0, layout)?;
        let layout = Layout::contiguous(layout.shape());
        Ok(Self {
            address: address(&copy, &layout)?,
            layout,
            dtype: storage.dtype(),
            _copy: Some(copy),
        })
    }

    /// The distance between rows of the last dimension, if it is contiguous and there is one distance.
    pub(super) fn row_stride(&self) -> Option<usize> {
        let (dims, strides) = (self.layout.dims(), self.layout.stride());
        let width = *dims.last()?;
        if *strides.last()? != 1 && width != 1 {
            return None;
        }
        let mut stride = None;
        let mut next = 0;
        for (&dim, &step) in dims.iter().zip(strides).rev().skip(1).filter(|(dim, _)| **dim != 1) {
            match stride {
                None => stride = Some(step),
                Some(_) if step != next => return None,
                Some(_) => {}
            }
            next = step * dim;
        }
        Some(stride.unwrap_or(width))
    }

    /// Whether eight elements can be read at a time at every multiple of `steps`.
    pub(super) fn by_eight(&self, steps: &[usize]) -> bool {
        self.address.is_multiple_of(16) && steps.iter().all(|step| step.is_multiple_of(8))
    }
}

/// A new contiguous tensor for a kernel to fill.
pub(super) struct Output {
    storage: CudaStorage,
    shape: Shape,
    pub(super) address: u64,
}

impl Output {
    /// The kernel must write every element.
    pub(super) fn new(device: &CudaDevice, shape: impl Into<Shape>, dtype: DType) -> Result<Self> {
        let shape = shape.into();
        // SAFETY: kernels fill their outputs.
        let storage = unsafe { device.alloc_uninit(&shape, dtype)? };
        let address = address(&storage, &Layout::contiguous(&shape))?;
        #[cfg(feature = "poison")]
        poison(device, address, shape.elem_count() * dtype.size_in_bytes())?;
        Ok(Self {
            storage,
            shape,
            address,
        })
    }

    pub(super) fn into_tensor(self) -> Tensor {
        Tensor::from_storage(Storage::Cuda(self.storage), self.shape, BackpropOp::none(), false)
    }

    pub(super) fn into_storage(self) -> (CudaStorage, Shape) {
        (self.storage, self.shape)
    }
}

/// Sets every bit: a NaN in f32 and bf16, and an index beyond every table in u32.
#[cfg(feature = "poison")]
fn poison(device: &CudaDevice, address: u64, bytes: usize) -> Result<()> {
    use candle_core::cuda_backend::WrapErr;
    use candle_core::cuda_backend::cudarc::driver::result::memset_d8_async;
    if bytes == 0 {
        return Ok(());
    }
    // SAFETY: the address is that of a live allocation of so many bytes, used on this stream only.
    unsafe { memset_d8_async(address, 0xff, bytes, device.cuda_stream().cu_stream()) }.w()
}
